"""One rule for names, and one sentence about it, wherever a node gets its name."""

from typing import Any

import pytest
from cli_process import assert_one_line, lexmesh
from raw_ws import gateway

from lexmesh import MeshConfig, WebSocketClient, WebSocketServer
from lexmesh.errors import ConfigError

RULE = "must be 1 to 128 characters without spaces or control characters, and at most 255 bytes in UTF-8"
NAMES = ["n" * 128, "é" * 127, "édge:1/a[0]", "влажность", "-", "🌱" * 63]
NO_NAMES = [
    "",
    " ",
    "two words",
    "a\n",
    "a\x00",
    "a\x7f",
    "a\x85",
    "a\u2028b",
    "n" * 129,
    "é" * 128,
    "🌱" * 64,
    "\ud800",
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_is_one_everywhere_and_on_the_wire(name: str) -> None:
    assert MeshConfig(node_id=name, mesh_name=name).node_id == name
    assert WebSocketServer(name).node_id == name
    async with gateway() as server, WebSocketClient(name, f"ws://127.0.0.1:{server.port}") as client:
        heard: list[Any] = []
        server.subscribe("a", lambda event: heard.append(event.source_node))
        client.publish("a")
        assert (await client.flush())["routed"] == 1
        assert heard == [name]


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_none_is_refused_everywhere_with_the_same_words(name: str) -> None:
    for option in ("node_id", "mesh_name"):
        with pytest.raises(ConfigError) as refused:
            MeshConfig(**{option: name})
        assert str(refused.value) == f"{option} = {name!r}: {RULE}"
    with pytest.raises(ValueError, match="node_id") as caught:
        WebSocketClient(name, "ws://127.0.0.1:1")
    assert str(caught.value) == f"node_id = {name!r}: {RULE}"
    if name:  # an empty one stands for the configured one
        with pytest.raises(ValueError, match="node_id") as caught:
            WebSocketServer(name)
        assert str(caught.value) == f"node_id = {name!r}: {RULE}"


def test_commands_say_it_in_one_line() -> None:
    for command in (("mesh", "start", "--port", "0"), ("pub", "ws://127.0.0.1:1"), ("sub", "ws://127.0.0.1:1", ">")):
        result = lexmesh(*command, "--node-id", "two words")
        assert_one_line(result, 2, f"invalid value for '--node-id': 'two words' {RULE}")
    result = lexmesh("mesh", "start", "--port", "0", env={"LEXMESH_NODE_ID": "two words"})
    assert_one_line(result, 1, f"LEXMESH_NODE_ID: node_id = 'two words': {RULE}")


def test_what_is_no_text_is_a_mistake_of_the_program() -> None:
    for wrong in (b"edge", 5):
        with pytest.raises(TypeError, match="node_id must be a str"):
            WebSocketClient(wrong, "ws://127.0.0.1:1")  # type: ignore[arg-type]
