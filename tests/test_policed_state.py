"""State that the policy refuses is refused where it is written."""

from typing import Any

import pytest
from mesh_nodes import mesh_of, node, running
from raw_ws import eventually

from lexmesh import DeniedError, MeshConfig, MeshCore, StateSynchronizer

FORBIDDEN: dict[str, Any] = {"mode": {"consent_override": "force"}}


async def test_what_the_others_would_refuse_is_not_written_and_the_rest_goes_on() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        state = nodes[0].state
        with pytest.raises(DeniedError) as denied:
            state.update_local_state("agents", "a", FORBIDDEN)
        assert (denied.value.rule, denied.value.path) == ("consent-override", "value.mode.consent_override")
        with pytest.raises(DeniedError):
            state.compare_and_set("agents", "a", None, FORBIDDEN)
        assert state.get_local_state("agents", "a") is None
        state.update_local_state("agents", "a", {"consent_override": "denied"})
        await eventually(lambda: nodes[1].state.get_local_state("agents", "a"), "what the policy lets pass")
        record = nodes[0].pipeline.audit.recent(1)[0]
        assert (record.rule, record.subject, record.action) == ("consent-override", "_lexmesh.state.delta", "deny")
        assert nodes[1].pipeline.audit.total == 0


async def test_a_snapshot_with_such_a_value_is_refused_whole() -> None:
    alone = StateSynchronizer("elsewhere")
    alone.update_local_state("agents", "good", 1)
    alone.update_local_state("agents", "bad", FORBIDDEN)
    async with running(one := node("one")):
        with pytest.raises(DeniedError):
            one.state.restore(alone.snapshot())
        assert one.state.get_local_state("agents") == {}


async def test_what_strict_json_cannot_say_is_refused_too_and_what_json_cannot_as_before() -> None:
    async with running(one := node("one")):
        deep: Any = 0
        for _ in range(80):
            deep = [deep]
        with pytest.raises(ValueError, match="the value of a/b is not what a message can say"):
            one.state.update_local_state("a", "b", deep)
        with pytest.raises(TypeError, match="not what JSON can say"):
            one.state.update_local_state("a", "b", object())
        assert one.state.get_local_state("a", "b") is None


async def test_a_category_that_stays_here_is_not_policed_and_neither_is_state_alone() -> None:
    mesh = MeshCore(MeshConfig(node_id="n", websocket_port=0), categories=["shared"])
    mesh.state.update_local_state("own", "k", FORBIDDEN)
    with pytest.raises(DeniedError):
        mesh.state.update_local_state("shared", "k", FORBIDDEN)
    assert StateSynchronizer("n").update_local_state("shared", "k", FORBIDDEN) == 1
