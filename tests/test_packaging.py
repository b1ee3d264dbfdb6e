"""What people `pip install`: the sdist and the wheel are whole, and import in an environment that has nothing else."""

import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
COMPILED = sorted(path.stem for path in (ROOT / "ext" / "lexmesh").glob("_*.pyx"))
PYTHON_FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "lexmesh").rglob("*.py"))
DATA_FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "lexmesh").rglob("*.toml"))
SDIST_SUFFIXES = {".py", ".pyx", ".pxd", ".h", ".proto", ".js", ".html"}
NOT_OURS = ["build", "dist", ".*_cache", ".git", ".venv*", ".hypothesis", "*.so", "*.binpb", "*.egg-info"]
IMPORT_ALL = f"import lexmesh, {', '.join(f'lexmesh.{name}' for name in COMPILED)}; print(lexmesh.__file__)"


def missing_from(names: set[str]) -> list[str]:
    """What a package with these files lacks: Python, data, types, and a compiled module and a stub for each source."""
    wanted = {*PYTHON_FILES, *DATA_FILES, "lexmesh/py.typed", "lexmesh/nsr/default.toml", "lexmesh/internode.binpb"}
    wanted |= {f"lexmesh/{name}.pyi" for name in COMPILED}
    lacking = sorted(wanted - names)
    for name in COMPILED:
        if not any(found.startswith(f"lexmesh/{name}.") and found.endswith((".so", ".pyd")) for found in names):
            lacking.append(f"lexmesh/{name} compiled")
    return lacking


def sources_in(names: set[str]) -> list[str]:
    return sorted(name for name in names if name.endswith((".pyx", ".pxd", ".c", ".h")))


@pytest.mark.parametrize("name", COMPILED)
def test_each_compiled_module_has_a_stub(name: str) -> None:
    assert (ROOT / "lexmesh" / f"{name}.pyi").is_file()


def test_the_installed_package_is_whole() -> None:
    try:
        files = metadata.files("lexmesh")
    except metadata.PackageNotFoundError:
        pytest.skip("lexmesh runs from a checkout; `pip install .` to test an installed one")
    names = {str(file) for file in files or []}
    if "lexmesh/__init__.py" not in names:
        pytest.skip("an editable install has no files of its own")
    assert not missing_from(names)
    assert not sources_in(names)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist and, built from it, the wheel of a copy of this checkout."""
    work = tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, work / "src", ignore=shutil.ignore_patterns(*NOT_OURS))
    subprocess.run([sys.executable, "-m", "build", "--outdir", work / "dist", work / "src"], check=True, cwd=work)
    return work / "dist"


def artefact(dist: Path, suffix: str) -> Path:
    found = list(dist.glob(f"*{suffix}"))
    assert len(found) == 1
    return found[0]


@pytest.mark.soak
def test_the_wheel_is_whole_and_has_no_sources(dist: Path) -> None:
    names = set(zipfile.ZipFile(artefact(dist, ".whl")).namelist())
    assert not missing_from(names)
    assert not sources_in(names)


@pytest.mark.soak
def test_the_sdist_has_all_that_its_own_tests_need(dist: Path) -> None:
    with tarfile.open(artefact(dist, ".tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ["Makefile", "README.md", "DESIGN.md", "CHANGELOG.md", "LICENSE", "setup.py", ".ci/run", *PYTHON_FILES]
    for top in ("ext", "protos", "tests", "bench"):
        sources = [str(path.relative_to(ROOT)) for path in (ROOT / top).rglob("*") if path.suffix in SDIST_SUFFIXES]
        wanted += [source for source in sources if "node_modules" not in source]
    assert not sorted(set(wanted) - names)
    assert not [name for name in names if name.startswith("build/") or name.endswith((".so", ".pyc", ".binpb"))]
    assert not [name for name in names if "node_modules" in name]


@pytest.mark.soak
@pytest.mark.parametrize("suffix", [".tar.gz", ".whl"])
def test_installs_and_imports_in_an_empty_environment(dist: Path, suffix: str, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    binaries = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin")
    pip: list[str | Path] = [binaries / "python", "-m", "pip", "-q"]
    subprocess.run([*pip, "install", artefact(dist, suffix)], check=True, cwd=tmp_path)
    imported = subprocess.run(
        [binaries / "python", "-c", IMPORT_ALL], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert str(tmp_path / "env") in imported.stdout
    shown = subprocess.run([binaries / "lexmesh", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "demo" in shown.stdout
