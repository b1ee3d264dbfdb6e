"""What every test needs: the installed package in sight, hypothesis' budget, the soak tests left out of a plain run."""

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google_messages import google_classes, google_stubs
from hypothesis import HealthCheck, settings
from leftovers import start_watch

ROOT = Path(__file__).resolve().parent.parent
SANITIZE = os.environ.get("LEXMESH_TEST_BUILD") == "sanitize"


def _uncover_installed_package() -> None:
    """Takes the checkout off sys.path unless it holds a compiled core for this interpreter.

    `python -m pytest` puts the working directory first, where `lexmesh/` without its compiled modules would hide the
    package that `pip install` built. Child processes get the same by PYTHONSAFEPATH.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    suffixes = importlib.machinery.EXTENSION_SUFFIXES
    if any((ROOT / "lexmesh" / f"_codec{suffix}").exists() for suffix in suffixes):
        return
    sys.path[:] = [entry for entry in sys.path if Path(entry or os.curdir).resolve() != ROOT]
    for name in [name for name in sys.modules if name.partition(".")[0] == "lexmesh"]:  # pytest has loaded the plugin
        del sys.modules[name]


_uncover_installed_package()

# A server of the developer's own is none of the tests' business; those of Redis start theirs.
os.environ.setdefault("LEXMESH_ENABLE_REDIS", "false")

# Deadlines time a single example: on a busy machine, or with an instrumented core, they say nothing about the code.
settings.register_profile("lexmesh", deadline=None, print_blob=True)
settings.register_profile(
    "sanitize", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("sanitize" if SANITIZE else "lexmesh")


def pytest_report_header() -> str:
    """Names the package under test: a checkout, an installed wheel or an instrumented build."""
    spec = importlib.util.find_spec("lexmesh._codec")
    return f"lexmesh core: {spec.origin if spec else 'not found; pip install . first'}"


def pytest_configure(config: pytest.Config) -> None:
    """Has what the tests start end with this process, however it ends."""
    watch = start_watch()
    if watch is not None:
        config.add_cleanup(watch.end)


def pytest_sessionstart() -> None:
    if SANITIZE and "build/sanitize" not in str(getattr(importlib.util.find_spec("lexmesh._codec"), "origin", "")):
        pytest.exit("the instrumented core is not the one imported; run `make sanitize`", returncode=3)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Soak tests run when a `-m` expression names them, as `make soak` does."""
    if "soak" in str(config.option.markexpr):
        return
    soak = [item for item in items if item.get_closest_marker("soak")]
    if soak:
        config.hook.pytest_deselected(items=soak)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout, or the unpacked sdist, that these tests belong to."""
    return ROOT


@pytest.fixture
def lax_file(tmp_path: Path) -> str:
    """A policy that refuses nothing, so that the gateway is the one that does."""
    from lax_policy import LAX_TOML  # not before the package under test has been settled

    file = tmp_path / "lax.toml"
    file.write_text(LAX_TOML)
    return str(file)


@pytest.fixture(scope="session")
def internode(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Google's own message classes, by name."""
    return google_classes(tmp_path_factory.mktemp("protos"))


@pytest.fixture(scope="session")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Google's own gRPC stubs, made of the published .proto; its classes are at `stubs.messages`."""
    return google_stubs(tmp_path_factory.mktemp("stubs"))
