"""What is asked of a node that cannot be done: a clear error, and the node goes on."""

import logging
import math
from typing import Any

import pytest
from mesh_nodes import node, running, url_of
from raw_ws import eventually

from lexmesh import ConfigError, MeshRegistry, StateSynchronizer


@pytest.mark.parametrize("seconds", ["a", math.nan, -1])
async def test_a_stop_or_request_in_no_time_is_refused_and_the_node_goes_on(seconds: Any) -> None:
    one = node("one")
    async with running(one):
        with pytest.raises((TypeError, ValueError)):
            await one.stop(seconds)
        with pytest.raises((TypeError, ValueError)):
            await one.request("", "asked", timeout=seconds)
        assert one.ledger()["taken"] == 0
        assert one.get_mesh_status()["status"] == "active"


@pytest.mark.parametrize("url", [5, "", "foo", "http://x"])
async def test_a_link_to_no_url_is_refused(url: Any) -> None:
    one = node("one")
    with pytest.raises(RuntimeError, match="not running"):
        one.link_to("ws://127.0.0.1:1")
    async with running(one):
        with pytest.raises(ConfigError, match="peers"):
            one.link_to(url)


async def test_a_callback_that_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    one = node("one")
    with pytest.raises(TypeError, match="callable"):
        one.registry.on_change(5)  # type: ignore[arg-type]

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    one.registry.on_change(broken)
    async with running(one), node("two") as two:
        two.link_to(url_of(one))
        await eventually(lambda: one.links == ["two"], "the link")
    assert "a callback for changes of nodes raised" in caplog.text


@pytest.mark.parametrize("value", [math.inf, [math.nan], {"a": {"b": -math.inf}}])
def test_state_takes_no_number_that_json_cannot_say(value: Any) -> None:
    state = StateSynchronizer("one")
    with pytest.raises(TypeError, match="NaN"):
        state.update_local_state("c", "k", value)
    assert state.get_local_state("c", "k", "none") == "none"
    state.update_local_state("c", "k", [None, "null", 1.5])
    assert state.get_local_state("c", "k") == [None, "null", 1.5]


async def test_of_two_nodes_of_a_name_the_later_one_stays_linked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lexmesh.mesh")
    one, early = node("one"), node("twin")
    async with running(one), early:
        early.link_to(url_of(one))
        await eventually(lambda: one.links == ["twin"], "the first")
        late = node("twin")
        async with late:
            late.link_to(url_of(one))
            await eventually(lambda: late.links == ["one"], "the second")
            await eventually(lambda: any("unique" in fault for fault in faults(early)), "a reason")
            assert late.links == ["one"]
            assert caplog.text.count("linked to twin") < 8


def faults(mesh: Any) -> list[str]:
    return list(mesh.get_mesh_status()["faults"].values())


def test_a_registry_alone_takes_no_callback_that_is_none() -> None:
    with pytest.raises(TypeError):
        MeshRegistry("one").on_change(None)  # type: ignore[arg-type]
