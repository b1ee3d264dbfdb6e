"""The fixture `mesh_network` for pytest: a simulated network, and tests that run in its virtual time.

An `async def` test that asks for the fixture runs on the network's own event loop, with pytest-asyncio or without. Any
other test hands it a coroutine: `mesh_network.play(story())`. A test that fails tells its seed and how to repeat it.
"""

from __future__ import annotations

import functools
import inspect
import os
import random
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lexmesh.testing.mesh_network import MeshNetwork

FIXTURE = "mesh_network"
VARIABLE = "LEXMESH_SEED"
MOST_TOLD = 20  # of what happened last


def pytest_addoption(parser: pytest.Parser) -> None:
    """The seed can be given, to repeat a run."""
    told = f"seed of {FIXTURE} (default: {VARIABLE}, else drawn anew for each test)"
    parser.getgroup("lexmesh").addoption("--lexmesh-seed", type=int, default=None, help=told)


def pytest_configure(config: pytest.Config) -> None:
    """The marker that runs a test many times."""
    config.addinivalue_line("markers", f"mesh_seeds(count): runs a test of {FIXTURE} once with each of so many seeds")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes one test a seed where so many are asked for; a seed that is given is the only one."""
    marker = metafunc.definition.get_closest_marker("mesh_seeds")
    if marker is not None and FIXTURE in metafunc.fixturenames:
        if len(marker.args) != 1 or type(marker.args[0]) is not int or marker.args[0] < 1:
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid}: mesh_seeds takes how many seeds, as in mesh_seeds(20)"
            )
        seeds = range(*marker.args) if (given := _given_seed(metafunc.config)) is None else [given]
        metafunc.parametrize(FIXTURE, seeds, indirect=True, ids=lambda seed: f"seed{seed}")


@pytest.fixture
def mesh_network(request: pytest.FixtureRequest) -> MeshNetwork:
    """A simulated network of mesh nodes; see MeshNetwork."""
    from lexmesh.testing.mesh_network import MeshNetwork  # noqa: PLC0415 - pytest starts without it

    seed = getattr(request, "param", None)
    if seed is None:
        seed = _given_seed(request.config)
    return MeshNetwork(random.SystemRandom().randrange(1 << 32) if seed is None else seed)


def _given_seed(config: pytest.Config) -> int | None:
    given = config.getoption("--lexmesh-seed")
    text = os.environ.get(VARIABLE, "") if given is None else str(given)
    try:
        return int(text) if text else None
    except ValueError:
        raise pytest.UsageError(f"{VARIABLE}={text}: a seed is a whole number") from None


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_pycollect_makeitem() -> Generator[None, Any, Any]:
    """Makes plain functions of tests that are coroutines, before another plugin takes them for its own."""
    items = yield
    for item in items if isinstance(items, list) else ():
        is_ours = isinstance(item, pytest.Function) and FIXTURE in item.fixturenames
        if is_ours and inspect.iscoroutinefunction(item.obj):
            item.obj = _played(item.obj)
    return items


def _played(test: Any) -> Any:
    @functools.wraps(test)
    def play(**fixtures: Any) -> None:
        network: MeshNetwork = fixtures[FIXTURE]
        network.play(test(**fixtures))

    return play


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Tells the seed of a test that has failed."""
    report: Any = yield
    network = getattr(item, "funcargs", {}).get(FIXTURE)
    if report.when == "call" and report.failed and network is not None:
        name = item.nodeid.partition("[")[0]
        lines = [
            f"seed {network.seed}; again with: {VARIABLE}={network.seed} pytest '{name}'",
            "",
            "what happened last:",
        ]
        lines += [str(happening) for happening in list(network.trace.last)[-MOST_TOLD:]]
        report.sections.append((FIXTURE, "\n".join(lines)))
    return report
