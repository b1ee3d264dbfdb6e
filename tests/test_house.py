"""The house rules of size and honesty: short files, short functions, nothing left for later, no test that sleeps."""

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 400  # of a source file; tests and generated tables may be longer
MOST_FUNCTION_LINES = 60
# spelled apart, so that this file obeys its own rule
LATER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")
CYTHON_FUNCTION = re.compile(r"^([ \t]*)(?:async def|cdef|cpdef|def)\b(?! class\b)[^=\n]*\w\(")
SOURCE_SUFFIXES = {".py", ".pyi", ".pyx", ".pxd", ".h", ".c", ".toml", ".proto"}


def files_of(*tops: str) -> list[Path]:
    found = chain.from_iterable((ROOT / top).rglob("*") for top in tops)
    return sorted(path for path in found if path.suffix in SOURCE_SUFFIXES)


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_generated_table(path: Path) -> bool:
    return path.name.endswith("_tables.h")


SHIPPED = [path for path in files_of("lexmesh", "ext", "protos", "bench") if not is_generated_table(path)]
ALL = [*SHIPPED, *files_of("tests"), ROOT / "setup.py"]


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def cython_functions(text: str) -> Iterator[tuple[str, int]]:
    """Name and length of each function of a Cython source: its first line to its last indented deeper."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        match = CYTHON_FUNCTION.match(line)
        if not match:
            continue
        indent = len(match[1])
        end = start
        in_signature = True
        for at in range(start + 1, len(lines)):
            body = lines[at]
            in_signature = in_signature and not lines[at - 1].rstrip().endswith(":")
            if body.strip() and not in_signature and len(body) - len(body.lstrip()) <= indent:
                break
            if body.strip():
                end = at
        yield line.strip(), end - start + 1


def long_functions(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    functions = python_functions(text) if path.suffix == ".py" else cython_functions(text)
    return [f"{name}: {length} lines" for name, length in functions if length > MOST_FUNCTION_LINES]


@pytest.mark.parametrize("path", SHIPPED, ids=label)
def test_a_file_is_one_concept_long(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines < MOST_LINES


@pytest.mark.parametrize("path", [path for path in ALL if path.suffix in {".py", ".pyx"}], ids=label)
def test_a_function_fits_a_screen(path: Path) -> None:
    assert not long_functions(path)


@pytest.mark.parametrize("path", ALL, ids=label)
def test_nothing_is_left_for_later(path: Path) -> None:
    found = LATER.findall(path.read_text(encoding="utf-8"))
    assert not found


def fixed_sleeps(text: str) -> list[str]:
    """Calls of time.sleep and asyncio.sleep with a time other than 0, which only yields to the loop."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "asyncio.sleep", "sleep"}:
            argument = node.args[0] if node.args else None
            if isinstance(argument, ast.Constant) and argument.value == 0:
                continue
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", [path for path in files_of("tests") if path.suffix == ".py"], ids=label)
def test_no_test_sleeps_and_hopes(path: Path) -> None:
    found = fixed_sleeps(path.read_text(encoding="utf-8"))
    assert not found, "wait for what the test needs, or pass `now`"


# -- the rules themselves, on sources that break them ------------------------------------------------------------------


def test_lengths_of_cython_functions() -> None:
    body = "        x = 1\n\n" * 3
    source = f"cdef class A(B):\n    cdef int f(self,\n               int b):\n{body}\n    def g(self):\n        pass\n"
    assert [length for _, length in cython_functions(source)] == [7, 2]


def test_lengths_of_python_functions() -> None:
    assert list(python_functions("def f():\n    x = (1,\n         2)\n\n")) == [("f", 3)]


def test_fixed_sleeps_are_found() -> None:
    assert fixed_sleeps("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    await asyncio.sleep(0.1)\n")
    assert not fixed_sleeps("async def f():\n    await asyncio.sleep(0)\n")
