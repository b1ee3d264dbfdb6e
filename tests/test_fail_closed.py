"""What cannot be decoded, scanned or looked up is refused, counted and recorded, and the node goes on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from raw_ws import BINARY, RawClient, Received, eventually, frame, gateway, text

RULE = '[[rule]]\nname = "no-red"\nscope = ["metadata values"]\nmarkers = ["red"]\n'

# A scan of text beyond ASCII takes several times its size in memory. The limit lets the message in and nothing more.
STARVED = """
import json, resource
from lexmesh import StreamPipeline
from lexmesh._router import Endpoint

SIZE = 24 << 20
pipeline = StreamPipeline("node", max_message_size=2 * SIZE)
heard = []
pipeline.register_handler(">", lambda event: heard.append(event.event_type))
source = Endpoint()
hostile = b'{"type":"agent_message","id":"s:1:1","data":"' + "\\u00e9".encode() * (SIZE // 2) + b'"}'
small = b'{"type":"agent_message","data":"hello"}'
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
_, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + SIZE, hard))
starved = pipeline.core.feed(hostile, "json", source, 1)
meanwhile = pipeline.core.feed(small, "json", source, 2)
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
fed = pipeline.core.feed(hostile, "json", source, 3)
ledger = pipeline.ledger()
print(json.dumps({
    "outcomes": [starved, meanwhile, fed], "heard": heard, "denied": ledger["denied_by_rule"],
    "balanced": ledger["balanced"], "records": [record._asdict() for record in pipeline.audit.recent()],
}))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux, to know how much memory there is")
def test_a_message_that_there_is_no_memory_to_scan_is_refused() -> None:
    result = subprocess.run([sys.executable, "-c", STARVED], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["outcomes"] == ["denied", "routed", "routed"], "the same message passes once there is memory"
    assert found["heard"] == ["agent_message", "agent_message"]
    assert found["denied"] == {"unscannable": 1}
    assert found["balanced"]
    [record] = found["records"]
    assert (record["rule"], record["path"], record["action"]) == ("unscannable", "", "deny")
    assert record["id"] == "s:1:1"


async def test_a_policy_that_vanished_stays_in_force(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(RULE)
    async with gateway(policy_file=file) as server:
        file.unlink()
        heard = Received()
        server.subscribe("a", heard)
        client = await RawClient.connect(server.port)
        for _ in range(2):
            client.send(text({"type": "a", "metadata": {"x": "red"}}), text({"type": "a"}))
            await client.flush()
            assert not await server.reload_policy()
        assert server.ledger()["denied_by_rule"] == {"no-red": 2}
        assert len(heard.events) == 2
        await client.aclose()


UNDECODABLE: dict[str, list[tuple[int, bytes]]] = {
    "lexmesh.v1.json": [
        (1, b'{"type":"a","data":{"k":1,"k":2}}'),
        (1, b'{"type":"a","data":NaN}'),
        (1, b'{"type":"a","data":"\\ud800"}'),
        (1, b'{"type":"a"} '[:-2]),
    ],
    "lexmesh.v1.proto": [
        (BINARY, b"\x0a\x03\x1a\x05a"),
        (BINARY, b"\x0a\x05\x1a\x01a\xff\xff"),
        (BINARY, b"\xff\xff\xff"),
    ],
}


@pytest.mark.parametrize("subprotocol", UNDECODABLE)
async def test_an_undecodable_message_is_refused_counted_and_recorded(subprotocol: str) -> None:
    async with gateway() as server:
        heard = Received()
        server.subscribe(">", heard)
        client = await RawClient.connect(server.port, subprotocol=subprotocol)
        wrong: list[Any] = UNDECODABLE[subprotocol]
        client.send(*(frame(opcode, payload) for opcode, payload in wrong))
        await eventually(lambda: server.ledger()["ingress"]["malformed"] == len(wrong))
        assert heard.events == []
        records = server.pipeline.audit.recent()
        assert [(record.rule, record.action) for record in records] == [("malformed", "deny")] * len(wrong)
        assert all("at byte" in record.path for record in records)
        await client.aclose()
