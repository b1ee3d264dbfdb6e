"""The audit on disk: every record of a gateway, whatever the disk does to it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_process import PATIENCE
from raw_ws import RawClient, eventually, gateway, text

from lexmesh import MeshConfig, WebSocketServer
from lexmesh.errors import ConfigError, DeniedError, PortInUseError
from lexmesh.nsr.audit import Audit
from lexmesh.store.audit_file import MOST_WAITING, AuditFile
from lexmesh.transports.gateway_protocol import MAX_DENIED_IN_A_ROW

SECRET = "swordfish"
DENIED = {"type": "a", "metadata": {"note": f"force {SECRET}"}, "data": {"words": SECRET}}
FIELDS = ["time", "id", "source", "link", "subject", "rule", "path", "action", "policy"]


def records_in(*paths: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def files_in(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def read_lines(pipe: Path, count: int) -> int:
    """Reads so many lines of a pipe, or up to its end."""
    with pipe.open("rb") as reader:
        return sum(1 for _, _ in zip(range(count), reader, strict=False))


def hang(file: AuditFile) -> Path:
    """Has a file's next write wait as on a disk that hangs: what is open is now a pipe, to read from which ends it."""
    path = file._file.path
    path.unlink()
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR)
    os.dup2(pipe, file._file._fd)
    os.close(pipe)
    return path


def note(audit: Audit, count: int = 1) -> None:
    for number in range(count):
        audit.record(
            number, id="", source="", link="", subject="a", rule="r", path=f"metadata.{number}", denied=True, policy="d"
        )


def refuse_one(server: WebSocketServer) -> None:
    with pytest.raises(DeniedError):
        server.publish("a", metadata={"note": "force"})


async def test_a_gateway_writes_each_refusal_and_never_the_text(tmp_path: Path) -> None:
    path = tmp_path / "audit.ndjson"
    async with gateway(audit_file=path) as server:
        assert path.exists(), "made at the start"
        client = await RawClient.connect(server.port)
        client.send(text({**DENIED, "id": "sensor:3:9"}), text(b'{"type":"a","data":"swordfish}'), text({"type": "b"}))
        await client.flush()
        await eventually(lambda: len(records_in(path)) == 2)  # while it runs, not only at its end
        host, port = client.writer.get_extra_info("sockname")
        await client.aclose()
    first, second = records_in(path)
    assert list(first) == FIELDS
    assert abs(first["time"] - second["time"]) < 60_000
    assert first["time"] > 1_700_000_000_000
    assert (first["id"], first["source"], first["link"]) == ("sensor:3:9", "sensor", f"{host}:{port}")
    assert (first["rule"], first["path"], first["action"]) == ("marker-metadata", "metadata.note", "deny")
    assert first["policy"] == server.pipeline.policy.digest
    assert (second["rule"], second["link"]) == ("malformed", f"{host}:{port}")
    assert SECRET not in path.read_text()
    assert [record._asdict() for record in server.pipeline.audit.recent()] == [first, second]


async def test_what_was_refused_last_is_on_disk_when_the_gateway_has_stopped(tmp_path: Path) -> None:
    path = tmp_path / "audit.ndjson"
    async with gateway(audit_file=path) as server:
        for _ in range(500):
            refuse_one(server)
    assert len(records_in(path)) == 500
    assert server.pipeline.audit.lost == 0


async def test_a_flood_is_written_in_whole_and_rotated(tmp_path: Path) -> None:
    path = tmp_path / "audit.ndjson"
    async with gateway(audit_file=path, audit_file_bytes=100_000, audit_files=9) as server:
        clients = [await RawClient.connect(server.port) for _ in range(3)]
        for client in clients:
            client.send(*[text(DENIED)] * (MAX_DENIED_IN_A_ROW + 5))
        for client in clients:
            assert await client.closed() == 1008
            await client.aclose()
    files = files_in(tmp_path)
    assert len(files) > 3
    assert all(file.stat().st_size <= 100_000 for file in files)
    assert len(records_in(*files)) == server.pipeline.audit.total == 3 * (MAX_DENIED_IN_A_ROW + 1)
    assert server.pipeline.audit.lost == 0


async def test_a_disk_that_fails_stops_nothing_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async with gateway(audit_file="/dev/full") as server:
        client = await RawClient.connect(server.port)
        for _ in range(3):
            client.send(text(DENIED), text({"type": "b"}))
            receipt = await client.flush()
        assert (receipt["denied"], receipt["unroutable"]) == (3, 3)
        await eventually(lambda: server.pipeline.audit.lost == 3)
        await client.aclose()
    assert server.ledger()["audit"] == {"total": 3, "lost": 3, "unheard": 0}
    warnings = [found.getMessage() for found in caplog.records if found.name == "lexmesh.audit"]
    assert len(warnings) == 1
    assert warnings[0].startswith("audit file /dev/full: no space left on device; ")


async def test_a_gateway_does_not_start_whose_file_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, reason in {
        "none/audit.ndjson": "no such file or directory",
        "file/audit.ndjson": "not a directory",
        "directory": "is a directory",
        "pipe": "not a regular file",
    }.items():
        path = tmp_path / name
        server = WebSocketServer("x", port=0, config=MeshConfig(audit_file=path))
        with pytest.raises(ConfigError) as caught:
            await server.start()
        assert str(caught.value) == (
            f"audit_file = '{path}': {reason}; name a file in a directory that exists and can be written to"
        )
        assert server.port == 0, "it has not listened before"


async def test_a_file_whose_directory_is_gone_later_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory, moved = tmp_path / "a", tmp_path / "b"
    directory.mkdir()
    async with gateway(audit_file=directory / "audit.ndjson") as server:
        directory.rename(moved)
        refuse_one(server)
        await eventually(lambda: server.pipeline.audit.lost == 1)
        moved.rename(directory)
        refuse_one(server)
    assert len(records_in(directory / "audit.ndjson")) == 1
    assert "no such file or directory" in caplog.text


async def test_a_gateway_that_cannot_listen_leaves_no_file_open(tmp_path: Path) -> None:
    async with gateway() as other:
        server = WebSocketServer("x", port=other.port, config=MeshConfig(audit_file=tmp_path / "audit.ndjson"))
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(PortInUseError):
            await server.start()
        assert len(os.listdir("/proc/self/fd")) == before


async def test_a_disk_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    audit = Audit()
    file = AuditFile(audit, tmp_path / "a", 1 << 30, 1)
    await file.start()
    pipe = hang(file)
    note(audit, 5000)  # more than a pipe takes
    await asyncio.sleep(0)
    await eventually(lambda: not file._waiting)
    note(audit, MOST_WAITING + 70)  # returns, though nobody reads
    assert (audit.total, audit.lost) == (5000 + MOST_WAITING + 70, 70)
    read, _ = await asyncio.gather(asyncio.to_thread(read_lines, pipe, 5000 + MOST_WAITING), file.stop(60))
    assert read == 5000 + MOST_WAITING
    assert audit.lost == 70


async def test_what_a_hanging_disk_has_not_taken_at_the_end_is_counted(tmp_path: Path) -> None:
    audit = Audit()
    file = AuditFile(audit, tmp_path / "a", 1 << 30, 1)
    await file.start()
    pipe = hang(file)
    note(audit, 5000)
    await eventually(lambda: not file._waiting)
    note(audit, 30)
    await file.stop(0.01)
    assert audit.lost == 30
    assert await asyncio.to_thread(read_lines, pipe, 5000) == 5000
    await eventually(lambda: file._task is None)
    await file.stop(1)


HANGING_GATEWAY = """
import asyncio, sys
from lexmesh import MeshConfig, WebSocketServer
from lexmesh.transports.loop import run, until_signal
sys.path.insert(0, sys.argv[2])
from test_audit_file import hang, note, until_it_writes

class Server(WebSocketServer):
    async def start(self):
        await super().start()
        hang(self._audit_file)
        note(self.pipeline.audit, 5000)
        await until_it_writes(self._audit_file)
        asyncio.get_running_loop().call_soon(lambda: print("hangs", flush=True))

    async def stop(self):
        await super().stop()
        print("stopped", flush=True)

run(until_signal(Server("x", port=0, config=MeshConfig(audit_file=sys.argv[1], drain_seconds=0.1))))
"""


async def until_it_writes(file: AuditFile) -> None:
    await eventually(lambda: file._task is not None and not file._waiting)


def test_sigterm_ends_a_gateway_whose_disk_hangs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HANGING_GATEWAY, str(tmp_path / "a"), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "hangs\n"
            process.terminate()
            assert process.stdout.readline() == "stopped\n"
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


async def test_a_gateway_can_be_started_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.ndjson"
    async with gateway(audit_file=path) as server:
        refuse_one(server)
        await server.stop()
        refuse_one(server)
        await server.start()
    assert len(records_in(path)) == 2


async def test_the_audit_is_not_for_clients(tmp_path: Path) -> None:
    async with gateway(audit_file=tmp_path / "audit.ndjson") as server:
        heard: list[Any] = []
        server.register_handler("_lexmesh.denied", lambda data, websocket: heard.append((data, websocket)))
        spy, client = await RawClient.connect(server.port), await RawClient.connect(server.port)
        await spy.subscribe(">")
        for subject in ("_lexmesh.denied", "_lexmesh.>"):
            spy.send(text({"type": "_lexmesh.subscribe", "data": {"subjects": [subject]}}))
            assert (await spy.json())["type"] == "_lexmesh.error"
        spy.send(text({"type": "_lexmesh.denied", "data": {"rule": "forged"}}))
        assert "reserved" in (await spy.json())["data"]["reason"]
        client.send(text(DENIED), text({"type": "end"}))
        assert (await spy.json())["type"] == "end"
        await eventually(lambda: heard)
        assert [(data["rule"], websocket) for data, websocket in heard] == [("marker-metadata", None)]
        for path in ("/audit", "/denied", "/health"):
            plain = await RawClient.connect(server.port, headers={"Upgrade": "", "Connection": "close"}, path=path)
            assert plain.status == 404
            await plain.aclose()
        await spy.aclose()
        await client.aclose()


async def test_handlers_that_hear_of_refusals_may_be_slow_and_may_fail(tmp_path: Path) -> None:
    async with gateway() as server:
        alerts: list[Any] = []

        async def alert(event: Any) -> None:
            await asyncio.sleep(0)
            server.publish("system_alert", {"rule": event.data["rule"]})
            raise RuntimeError("on purpose")

        server.subscribe("_lexmesh.denied", alert)
        server.subscribe("system_alert", lambda event: alerts.append(event.depth))
        client = await RawClient.connect(server.port)
        client.send(*[text(DENIED)] * 20, text({"type": "b"}))
        assert (await client.flush())["taken"] == 21
        await eventually(lambda: len(alerts) == 20)
        assert set(alerts) == {2}
        await eventually(lambda: server.ledger()["egress"]["failed"] == 20)
        await client.aclose()
