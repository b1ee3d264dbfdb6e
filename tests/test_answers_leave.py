"""When what a peer is sent leaves: with the read that it answers, else at the end of the loop turn."""

from typing import Any

from raw_ws import RawClient, gateway, text

from lexmesh.transports.session import Session

SUBSCRIBE = text({"type": "_lexmesh.subscribe", "data": {"subjects": ["a"]}})
ASK = text({"type": "ask", "data": 1})
INVALID = b"\x83\x80\0\0\0\0"  # opcode 3 is reserved (RFC 6455, section 5.2)


def read_at_once(session: Session, data: bytes) -> None:
    """Has a session read what its peer sent, within the loop turn that now runs."""
    transport = session.link.transport
    assert transport is not None
    protocol = transport.underlying_transport.get_protocol()
    protocol.get_buffer(-1)[: len(data)] = data
    protocol.buffer_updated(len(data))


def session_of(server: Any, client: RawClient) -> Session:
    host, port = client.writer.get_extra_info("sockname")
    return next(session for session in server._sessions if session.remote_address == f"{host}:{port}")


async def test_answers_leave_with_the_read_and_what_others_get_at_the_end_of_the_turn() -> None:
    async with gateway() as server:
        server.register_handler("ask", lambda data: {"n": data})
        asker, other = await RawClient.connect(server.port), await RawClient.connect(server.port)
        other.send(SUBSCRIBE)
        await other.json_of("_lexmesh.subscribed")
        asking, listening = session_of(server, asker), session_of(server, other)
        read_at_once(asking, ASK + ASK + text({"type": "a", "data": 2}))
        assert asking.outbox.queued == 0 and asking.outbox.idle
        assert listening.outbox.queued > 0
        assert [(await asker.json())["data"]["n"] for _ in range(2)] == [1, 1]
        assert (await other.json())["data"] == 2
        await asker.aclose()
        await other.aclose()


async def test_what_others_put_there_in_the_same_turn_leaves_with_the_answer_in_one_write() -> None:
    async with gateway() as server:
        server.register_handler("ask", lambda data: {"n": data})
        client = await RawClient.connect(server.port)
        client.send(SUBSCRIBE)
        await client.json_of("_lexmesh.subscribed")
        session = session_of(server, client)
        server.publish("a", "first")
        queued = session.outbox.queued
        read_at_once(session, ASK)
        assert session.outbox.queued > queued > 0
        assert (await client.json())["data"] == "first"
        assert (await client.json())["data"] == {"n": 1}
        assert session.outbox.idle
        await client.aclose()


async def test_answers_that_were_held_leave_before_the_close_frame_for_a_violation() -> None:
    async with gateway() as server:
        server.register_handler("ask", lambda data: {"n": data})
        client = await RawClient.connect(server.port)
        client.send(ASK + ASK + INVALID)
        assert (await client.json())["data"] == {"n": 1}
        assert (await client.frame()).code == 1002
        await client.aclose()
