"""The seed's mesh document: its snippets as they stand there, but for `from lexmesh import …` and the port."""

import ast
import asyncio
import inspect
import logging
import socket
from types import CodeType
from typing import Any

import pytest
from mesh_nodes import knows_all, mesh_of

from lexmesh import EventType, MeshConfig, MeshCore

QUICK_START = """
from lexmesh import MeshCore, MeshConfig

# Configure the mesh
config = MeshConfig(
    mesh_name="my_spiral_mesh",
    websocket_port=8765,
    redis_url="redis://localhost:6379",
    enable_redis=True,
    enable_websocket=True
)

# Create and start mesh node
mesh = MeshCore(config)
await mesh.start()

# Register event handlers
def handle_agent_message(event_data):
    print(f"Received agent message: {event_data}")

mesh.register_event_handler("agent_message", handle_agent_message)

# Broadcast events
await mesh.broadcast_event("ritual_start", {"ritual_type": "fibonacci_recursion"})
"""

MONITORING = """
# Get mesh status
status = mesh.get_mesh_status()
print(f"Connected nodes: {status['connected_nodes']}")
print(f"Total recursion depth: {status['total_recursion_depth']}")

# Get event statistics
event_stats = event_bus.get_event_stats()
print(f"Total events: {event_stats['total_events']}")
print(f"Queue size: {event_stats['queue_size']}")
"""

PUBLISHING = """
from lexmesh import EventBus, EventType

event_bus = EventBus("my_node")
await event_bus.start()

# Publish agent message
await event_bus.publish_agent_message(
    agent_id="fibonacci_agent",
    message="Recursion depth reached: 42",
    target_node="remote_node_123"
)

# Publish ritual event
await event_bus.publish_ritual_event(
    ritual_type="golden_spiral",
    ritual_data={"phase": "ascending", "depth": 7}
)
"""

SUBSCRIBING = """
def handle_ritual_events(event):
    print(f"Ritual event: {event.data}")

event_bus.subscribe(EventType.RITUAL_CYCLE, handle_ritual_events)
"""

STATE = """
from lexmesh import StateSynchronizer

sync = StateSynchronizer("my_node")
await sync.start()

# Update local state
sync.update_local_state("agents", "fibonacci_agent", {
    "status": "active",
    "recursion_depth": 13,
    "last_result": 233
})

# Retrieve state
agent_state = sync.get_local_state("agents", "fibonacci_agent")
"""

REGISTRY = """
from lexmesh import MeshRegistry

registry = MeshRegistry("my_node")

# Find nodes that can process rituals
ritual_nodes = registry.get_nodes_by_capability("ritual_processing")

# Find the best node for a specific task
best_node = registry.find_best_node_for_task("fibonacci_calculation")
"""

HEALTH = """
# Get mesh topology
topology = registry.get_mesh_topology()
print(f"Active nodes: {topology['active_nodes']}")
print(f"Network health: {topology['network_health']}")

# Monitor specific node
node_metrics = registry.get_node_metrics("remote_node_123")
"""

CONFIGURATION = """
from lexmesh import MeshConfig

config = MeshConfig(
    node_id="custom_node_id",           # Auto-generated if not provided
    mesh_name="spiral_codex_mesh",       # Network identifier
    websocket_port=8765,                # WebSocket server port
    redis_url="redis://localhost:6379",  # Redis connection
    heartbeat_interval=30.0,            # Heartbeat frequency (seconds)
    sync_interval=10.0,                 # State sync frequency
    max_recursion_depth=42,             # Maximum recursion depth
    enable_redis=True,                  # Enable Redis pub/sub
    enable_websocket=True,              # Enable WebSocket server
    ritual_channel="spiral_ritual_events" # Redis channel name
)
"""

TROUBLE = """
# Use different port
config.websocket_port = 8766

# Check heartbeat settings
config.heartbeat_interval = 10.0 # Reduce interval
"""

Names = dict[str, Any]


async def run(snippet: str, names: Names) -> Names:
    """Runs a snippet, which may await, in a namespace."""
    code: CodeType = compile(snippet, "<seed>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result
    return names


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


async def test_the_quick_start_and_its_monitoring(capsys: pytest.CaptureFixture[str]) -> None:
    names = await run(QUICK_START.replace("8765", free_port()), {})
    mesh: MeshCore = names["mesh"]
    try:
        await mesh.broadcast_event("agent_message", {"text": "hello"})
        await run(MONITORING, {"mesh": mesh, "event_bus": mesh.bus})
    finally:
        await mesh.stop()
    assert capsys.readouterr().out.splitlines() == [
        "Received agent message: {'text': 'hello'}",
        "Connected nodes: 0",
        "Total recursion depth: 0",
        "Total events: 0",
        "Queue size: 0",
    ]
    wanted = {"node_id", "status", "mesh_name", "connected_nodes", "uptime", "average_entropy", "nodes"}
    assert wanted < mesh.get_mesh_status().keys()


async def test_publishing_and_subscribing(capsys: pytest.CaptureFixture[str]) -> None:
    names = await run(PUBLISHING, {})
    bus = names["event_bus"]
    await run(SUBSCRIBING, names)
    await bus.publish_ritual_event(ritual_type="golden_spiral", ritual_data={"phase": "ascending", "depth": 7})
    await bus.stop()
    heard = {"phase": "ascending", "depth": 7, "ritual_type": "golden_spiral", "node_id": "my_node"}
    assert capsys.readouterr().out == f"Ritual event: {heard}\n"
    assert [str(event.event_type) for event in bus.get_recent_events()] == [
        "agent_message",
        "ritual_cycle",
        "ritual_cycle",
    ]


async def test_the_same_on_the_bus_of_a_mesh_reaches_the_node_that_is_named() -> None:
    async with mesh_of(2, [(1, 0)]) as nodes:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        nodes[1].register_event_handler("agent_message", heard.put_nowait)
        nodes[1].register_event_handler("ritual_cycle", heard.put_nowait)
        calls = PUBLISHING[PUBLISHING.index("# Publish agent") :].replace("remote_node_123", "n1")
        await run(calls, {"event_bus": nodes[0].bus})
        async with asyncio.timeout(10):
            assert await heard.get() == {"agent_id": "fibonacci_agent", "message": "Recursion depth reached: 42"}
            assert (await heard.get())["ritual_type"] == "golden_spiral"


async def test_local_state() -> None:
    names = await run(STATE, {})
    assert names["agent_state"] == {"status": "active", "recursion_depth": 13, "last_result": 233}
    assert names["sync"].update_local_state("agents", "fibonacci_agent", {}) == 2, "each change counts a version"
    await names["sync"].stop()


async def test_the_registry_alone_and_with_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    names = await run(REGISTRY, {})
    assert (names["ritual_nodes"], names["best_node"]) == ([], None)
    await run(HEALTH, names)
    assert capsys.readouterr().out == "Active nodes: 1\nNetwork health: 1.0\n"
    assert names["node_metrics"] is None
    registry = names["registry"]
    registry.register_node("remote_node_123", ["ritual_processing", "fibonacci_calculation"], queue_depth=3)
    calls = REGISTRY[REGISTRY.index("# Find nodes") :]
    await run(HEALTH, await run(calls, names))
    assert (names["ritual_nodes"], names["best_node"]) == (["remote_node_123"], "remote_node_123")
    assert names["topology"].keys() >= {
        "active_nodes", "total_nodes", "network_health", "node_statuses", "capabilities",
    }  # fmt: skip
    assert names["node_metrics"].keys() >= {
        "first_seen", "last_heartbeat", "total_messages", "uptime", "current_status", "recursion_depth",
        "entropy_level", "is_active", "rtt", "queue_depth", "suspicion",
    }  # fmt: skip
    assert names["node_metrics"]["queue_depth"] == 3


async def test_the_registry_of_a_mesh_answers_the_same_questions_about_real_nodes() -> None:
    async with mesh_of(2, [(1, 0)], capabilities=["ritual_processing", "fibonacci_calculation"]) as nodes:
        await knows_all(nodes)
        calls = REGISTRY[REGISTRY.index("# Find nodes") :] + HEALTH.replace("remote_node_123", "n1")
        names = await run(calls, {"registry": nodes[0].registry})
        assert sorted(names["ritual_nodes"]) == ["n0", "n1"]
        assert names["best_node"] in ("n0", "n1")
        assert names["topology"]["active_nodes"] == 2
        assert names["node_metrics"]["is_active"]


async def test_the_configuration_has_every_option_of_the_seed_and_takes_changes() -> None:
    config: MeshConfig = (await run(CONFIGURATION, {}))["config"]
    assert config.node_id == "custom_node_id"
    assert (config.redis_url, config.ritual_channel) == ("redis://localhost:6379", "spiral_ritual_events")
    defaults = MeshConfig()
    assert defaults.node_id != MeshConfig().node_id, "made up when left out"
    for name in ("mesh_name", "websocket_port", "heartbeat_interval", "sync_interval", "max_recursion_depth"):
        assert getattr(config, name) == getattr(defaults, name)
    assert config.enable_redis and config.enable_websocket
    await run(TROUBLE, {"config": config})
    assert (config.websocket_port, config.heartbeat_interval) == (8766, 10.0)


def test_every_type_of_the_seed_is_an_event_type() -> None:
    seeds = """node_register node_unregister heartbeat agent_spawn agent_terminate agent_message ritual_start ritual_end
    ritual_cycle system_alert system_metric system_error"""
    assert set(seeds.split()) <= {str(one) for one in EventType}


async def test_debug_logging_of_the_mesh_tells_of_links(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("lexmesh.mesh").setLevel(logging.DEBUG)
    try:
        async with mesh_of(2, [(1, 0)]):
            pass
    finally:
        logging.getLogger("lexmesh.mesh").setLevel(logging.NOTSET)
    assert "linked to n0" in caplog.text
