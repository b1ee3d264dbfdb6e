"""DESIGN.md section 2: a module imports from floors below its own, and from its own floor without cycles."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# First match wins; `name` also stands for everything inside the package of that name.
FLOORS: list[tuple[int, str]] = [
    (-1, "lexmesh.errors"),  # every module may raise them
    (0, "lexmesh.config"),
    (0, "lexmesh.config_values"),
    (0, "lexmesh.events"),
    (0, "lexmesh.node_names"),
    (0, "lexmesh.redis_address"),
    (0, "lexmesh.settings_file"),
    (1, "lexmesh._*"),
    (2, "lexmesh.nsr"),
    (2, "lexmesh.pipeline"),
    (2, "lexmesh.compute_pipeline"),
    (2, "lexmesh.queue_groups"),
    (2, "lexmesh.middleware"),
    (2, "lexmesh.failures"),
    (2, "lexmesh.bus"),
    (2, "lexmesh.subjects"),
    (2, "lexmesh.ledger"),
    (2, "lexmesh.mesh.registry"),
    (2, "lexmesh.mesh.state"),
    (2, "lexmesh.mesh.tasks"),
    (2, "lexmesh.mesh.clock"),
    (3, "lexmesh.transports"),
    (3, "lexmesh.store"),
    (4, "lexmesh.mesh"),
    (5, "lexmesh.cli"),
    (5, "lexmesh.hud"),
    (5, "lexmesh.dashboard"),
    (5, "lexmesh.metrics"),
    (5, "lexmesh.testing"),
    (5, "lexmesh.__init__"),
    (5, "lexmesh.__main__"),
]
COMPILED = 1
SANS_IO = 2
WORLD = {"asyncio", "socket", "time", "select", "selectors", "threading"}

CIMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(\S+)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n]*)|c?import[ \t]+([^\n]+))", re.M)


def floor_of(module: str) -> int | None:
    """The floor of a module of ours, None if the map does not know it."""
    for floor, pattern in FLOORS:
        if pattern.endswith("*"):
            if module.startswith(pattern[:-1]) and not module.startswith("lexmesh.__"):
                return floor
        elif module == pattern or module.startswith(pattern + "."):
            return floor
    return None


def module_name(path: Path) -> str:
    """The module that a source becomes; the top package is `lexmesh.__init__`, to tell it from what is inside it."""
    top = ROOT / "ext" if path.suffix in {".pyx", ".pxd"} else ROOT
    parts = path.relative_to(top).with_suffix("").parts
    if parts[-1] == "__init__" and len(parts) > 2:
        parts = parts[:-1]
    return ".".join(parts)


def is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def imports_at_run_time(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that can run, in functions too; blocks under TYPE_CHECKING cannot."""
    if isinstance(tree, ast.Import | ast.ImportFrom):
        yield tree
    elif isinstance(tree, ast.If) and is_type_checking(tree.test):
        for statement in tree.orelse:
            yield from imports_at_run_time(statement)
    else:
        for node in ast.iter_child_nodes(tree):
            yield from imports_at_run_time(node)


def resolve(node: ast.ImportFrom, package: list[str]) -> str:
    """The absolute name of the module that `from … import` names, seen from inside `package`."""
    if not node.level:
        return node.module or ""
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def python_imports(source: str, module: str, *, is_package: bool) -> set[str]:
    """Absolute names that a Python source imports; `from a import b` counts as `a.b` where that is a module of ours."""
    parts = [part for part in module.split(".") if part != "__init__"]
    package = parts if is_package else parts[:-1]
    found: set[str] = set()
    for node in imports_at_run_time(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        else:
            found.update(members(resolve(node, package), [alias.name for alias in node.names]))
    return found


def is_ours(name: str) -> bool:
    return name == "lexmesh" or name.startswith("lexmesh.")


def members(base: str, names: list[str]) -> set[str]:
    """`from base import names` as modules: `base.name` where that is a module of ours, else `base`."""
    if not is_ours(base):
        return {base}
    return {f"{base}.{name}" if f"{base}.{name}" in KNOWN else base for name in names}


def cython_imports(source: str) -> set[str]:
    """Absolute names that a Cython source imports or cimports."""
    found: set[str] = set()
    for base, names, plain in CIMPORT.findall(source):
        if base:
            found.update(members(base, re.findall(r"\w+", re.sub(r"\bas\s+\w+|#.*", "", names))))
        else:
            found.update(part.split(" as ")[0].strip() for part in plain.split("#")[0].split(","))
    return found


def known_modules() -> set[str]:
    python = {module_name(path) for path in (ROOT / "lexmesh").rglob("*.py")}
    return python | {module_name(path) for path in (ROOT / "ext").rglob("*.p[yx][xd]")}


def sources() -> list[Path]:
    return sorted([*(ROOT / "lexmesh").rglob("*.py"), *(ROOT / "ext").rglob("*.p[yx][xd]")])


KNOWN = known_modules()


def imports(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        found = python_imports(text, module_name(path), is_package=path.name == "__init__.py")
    else:
        found = cython_imports(text)
    return found - {module_name(path)}


def ours(names: set[str]) -> set[str]:
    """The imports of our own modules; the bare package stands for its `__init__`, on the top floor."""
    return {"lexmesh.__init__" if name == "lexmesh" else name for name in names if is_ours(name)}


def faults(path: Path) -> list[str]:
    """One sentence for each import of `path` that DESIGN.md section 2 forbids."""
    module = module_name(path)
    floor = floor_of(module)
    if floor is None:
        return [f"{module} is on no floor: add it to FLOORS, in the place that DESIGN.md section 2 gives it"]
    found = []
    for name in sorted(ours(imports(path))):
        below = floor_of(name)
        if below is None or below > floor:
            found.append(f"{module} (floor {floor}) imports {name} (floor {below})")
    return found


def on_floor(floor: int) -> list[Path]:
    return [path for path in sources() if floor_of(module_name(path)) == floor]


@pytest.mark.parametrize("path", sources(), ids=module_name)
def test_imports_come_from_floors_below(path: Path) -> None:
    assert not faults(path)


@pytest.mark.parametrize("path", on_floor(SANS_IO), ids=module_name)
def test_decisions_touch_no_clock_and_no_socket(path: Path) -> None:
    touched = {name.split(".")[0] for name in imports(path)} & WORLD
    assert not touched, f"{module_name(path)} decides: `now` is an argument, I/O happens on floor 3 and above"


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """One cycle of the graph, empty if there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node not in done:
            for follower in sorted(graph.get(node, ())):
                if found := walk(follower, [*path, node]):
                    return found
            done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := walk(node, []))), [])


@pytest.mark.parametrize("floor", sorted({floor for floor, _ in FLOORS}))
def test_modules_of_one_floor_import_each_other_without_cycles(floor: int) -> None:
    graph: dict[str, set[str]] = {}
    for path in on_floor(floor):
        beside = {name for name in ours(imports(path)) if floor_of(name) == floor}
        graph.setdefault(module_name(path), set()).update(beside)
    assert not cycle(graph)


def test_the_compiled_modules_are_looked_at() -> None:
    assert {path.stem for path in on_floor(COMPILED)} >= {"_span", "_json", "_envelope", "_codec"}


# -- the rules themselves, on sources that break them ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import asyncio.events as e, time", {"asyncio.events", "time"}),
        ("from . import errors", {"lexmesh.errors"}),
        ("from .nsr import policy", {"lexmesh.nsr"}),
        ("from lexmesh import errors, nothing", {"lexmesh.errors", "lexmesh"}),
        ("def late():\n    from lexmesh.errors import LexmeshError", {"lexmesh.errors"}),
        ("if TYPE_CHECKING:\n    import lexmesh.cli\nelse:\n    import time", {"time"}),
        ("try:\n    import uvloop\nexcept ImportError:\n    import asyncio", {"uvloop", "asyncio"}),
    ],
)
def test_python_imports_are_found(source: str, found: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "KNOWN", {"lexmesh.errors", "lexmesh.nsr"})
    assert python_imports(source, "lexmesh.pipeline", is_package=False) == found


def test_cython_imports_are_found() -> None:
    source = "from lexmesh._a cimport (\n    X, Y,  # two\n)\ncimport libc.math as m\n    from time import ns\n"
    assert cython_imports(source) == {"lexmesh._a", "libc.math", "time"}


def test_an_unknown_module_has_no_floor() -> None:
    assert floor_of("lexmesh.utils") is None
    assert floor_of("lexmesh._codec") == COMPILED


def test_a_cycle_is_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
