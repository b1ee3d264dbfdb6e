"""Reloading a policy under a running gateway: what is in force before, meanwhile and after."""

import asyncio
import logging
import os
import sys
from collections.abc import Iterator
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest
from raw_ws import RawClient, eventually, gateway, text

from lexmesh import MeshConfig, NsrPolicy, WebSocketServer
from lexmesh._nsr_automaton import Automaton
from lexmesh._nsr_filter import Prefilter
from lexmesh._nsr_rules import Program, letters_of
from lexmesh.nsr import RuleSpec
from lexmesh.settings_file import MOST_BYTES

RULE = '[[rule]]\nname = "{name}"\nscope = ["metadata values"]\nmarkers = ["{marker}"]\n'
RED, BLUE = ({"type": "a", "metadata": {"colour": colour}} for colour in ("red", "blue"))


def write(path: Path, marker: str) -> None:
    path.write_text(RULE.format(name=f"no-{marker}", marker=marker))


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    write(tmp_path / "p.toml", "red")
    return tmp_path / "p.toml"


async def rule_for(client: RawClient, message: dict[str, Any]) -> str:
    """The rule that refuses a message, empty if none does."""
    client.send(text(message))
    before = len(client.seen)
    await client.flush()
    told = [found.json for found in client.seen[before:]]
    return next((each["data"]["rule"] for each in told if each["type"] == "_lexmesh.error"), "")


async def test_open_connections_have_the_new_policy_from_the_next_message_on(
    policy_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lexmesh.policy")
    async with gateway(policy_file=policy_file) as server:
        client = await RawClient.connect(server.port)
        assert (await rule_for(client, RED), await rule_for(client, BLUE)) == ("no-red", "")
        old = server.pipeline.policy.digest
        write(policy_file, "blue")
        assert await rule_for(client, RED) == "no-red", "a file that is only written is not in force"
        assert await server.reload_policy()
        assert (await rule_for(client, RED), await rule_for(client, BLUE)) == ("", "no-blue")
        await client.aclose()
    new = NsrPolicy.load(policy_file).digest
    assert [found.getMessage() for found in caplog.records] == [
        f"policy reloaded from {policy_file}: {old[:12]} -> {new[:12]}"
    ]
    assert [record.policy for record in server.pipeline.audit.recent()] == [old, old, new]
    ledger = server.ledger()
    assert ledger["policy"] == {"digest": new, "reloads": {"ok": 1, "failed": 0}}
    assert ledger["denied_by_rule"] == {"no-red": 2, "no-blue": 1}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "p.toml: No such file or directory"),
        (lambda path: path.write_text("[[rule]\n"), "p.toml:1: not TOML"),
        (lambda path: path.write_text(RULE.format(name="x", marker="--")), "p.toml:4: '--' in 'markers' normalises"),
        (lambda path: path.write_bytes(b"\xff"), "p.toml: not UTF-8"),
        (lambda path: path.write_text(""), "p.toml: a policy needs rules"),
        (lambda path: path.write_text("a = " + "[" * 100_000), "p.toml"),
        (lambda path: (path.unlink(), path.mkdir()), "p.toml: Is a directory"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "p.toml: Not a regular file"),
        (lambda path: (path.unlink(), path.symlink_to("/dev/zero")), "p.toml: Not a regular file"),
        (lambda path: path.write_bytes(b"#" * (MOST_BYTES + 1)), f"p.toml: Larger than {MOST_BYTES} bytes"),
    ],
)
async def test_a_bad_file_leaves_the_old_policy_in_force(
    policy_file: Path, caplog: pytest.LogCaptureFixture, damage: Any, reason: str
) -> None:
    async with gateway(policy_file=policy_file) as server:
        digest = server.pipeline.policy.digest
        client = await RawClient.connect(server.port)
        damage(policy_file)
        assert not await server.reload_policy()
        assert (await rule_for(client, RED), await rule_for(client, BLUE)) == ("no-red", "")
        assert server.ledger()["policy"] == {"digest": digest, "reloads": {"ok": 0, "failed": 1}}
        await client.aclose()
    [line] = [found.getMessage() for found in caplog.records if found.name == "lexmesh.policy"]
    assert line.startswith(f"policy not reloaded, {digest[:12]} stays in force: {policy_file}")
    assert reason in line
    assert "\n" not in line


async def test_without_a_file_there_is_nothing_to_reload(caplog: pytest.LogCaptureFixture) -> None:
    async with gateway() as server:
        assert not await server.reload_policy()
        assert server.pipeline.policy.digest == NsrPolicy.default().digest
    assert "came from no file" in caplog.text


async def test_a_policy_given_as_an_object_is_not_replaced_by_a_file(policy_file: Path) -> None:
    server = WebSocketServer("x", config=MeshConfig(policy_file=policy_file), policy=NsrPolicy.default())
    assert not await server.reload_policy()
    assert server.pipeline.policy.digest == NsrPolicy.default().digest


async def test_messages_go_on_while_policies_change(policy_file: Path) -> None:
    """Each message is policed by the old policy or by the new one, whole, and every one is accounted for."""
    async with gateway(policy_file=policy_file) as server:
        client = await RawClient.connect(server.port)
        both = {"type": "a", "metadata": {"colour": "red blue"}}
        sent = 0
        for round_ in range(20):
            write(policy_file, "blue" if round_ % 2 == 0 else "red")
            reload = asyncio.create_task(server.reload_policy())
            while not reload.done():
                client.send(*[text(both)] * 10, text({"type": "fine"}))
                sent += 11
                await client.flush()
            assert reload.result()
        ledger = server.ledger()
        assert ledger["taken"] == sent
        assert ledger["ingress"]["denied"] == sum(ledger["denied_by_rule"].values()) == sent // 11 * 10
        assert set(ledger["denied_by_rule"]) == {"no-red", "no-blue"}
        await client.aclose()


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Has a thread that waits for the interpreter's lock ask for it at once: what counts is whether it is given."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


WORDS = tuple("".join(letters) for letters in islice(product("abcdefgh", repeat=6), 20_000))
LARGE = RuleSpec("large", scope=("metadata values",), markers=WORDS)
COMPILING = {
    "patterns": lambda: partial(Program, (LARGE,), 1),
    "automaton": lambda: partial(Automaton, Program((LARGE,), 1).patterns, []),
    "prefilter": lambda: partial(Prefilter, *[[letters_of(word) for word in WORDS]] * 2),
}
AROUND = 100
"""Messages that may be answered between two steps of a thread that does not give way, and has to wait for the lock."""


@pytest.mark.usefixtures("eager_threads")
@pytest.mark.parametrize("part", COMPILING)
async def test_messages_are_answered_while_a_large_policy_is_compiled(part: str) -> None:
    """Reading the file is the interpreter's work, which it shares by itself; the rest is compiled code."""
    compile_it = COMPILING[part]()
    answered = 0

    def answered_meanwhile() -> int:
        most = 0
        for _ in range(5):
            before = answered
            compile_it()
            most = max(most, answered - before)
        return most

    async with gateway() as server:
        client = await RawClient.connect(server.port)
        work = asyncio.create_task(asyncio.to_thread(answered_meanwhile))
        while not work.done():
            await client.flush()
            answered += 1
        assert work.result() > AROUND
        await client.aclose()


async def test_reloads_asked_for_at_once_happen_one_after_the_other(policy_file: Path) -> None:
    async with gateway(policy_file=policy_file) as server:
        write(policy_file, "blue")
        assert await asyncio.gather(*(server.reload_policy() for _ in range(5))) == [True] * 5
        assert server.ledger()["policy"]["reloads"] == {"ok": 5, "failed": 0}


async def test_a_message_in_an_async_filter_meets_the_policy_that_came_meanwhile(policy_file: Path) -> None:
    async with gateway(policy_file=policy_file) as server:
        gate, held = asyncio.Event(), asyncio.Event()
        heard: list[Any] = []

        async def hold(_event: Any) -> bool:
            held.set()
            await gate.wait()
            return True

        server.pipeline.add_filter(hold)
        server.subscribe("a", lambda event: heard.append(event.metadata["colour"]))
        client = await RawClient.connect(server.port)
        client.send(text(BLUE), text({"type": "a", "metadata": {"colour": "green"}}))
        await held.wait()
        write(policy_file, "blue")
        assert await server.reload_policy()
        gate.set()
        error = await client.json_of("_lexmesh.error")
        assert error["data"]["rule"] == "no-blue"
        await eventually(lambda: heard)
        assert heard == ["green"]
        await client.aclose()
