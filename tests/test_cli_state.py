"""What a command makes of its connection's states."""

import asyncio

import pytest

from lexmesh.cli.state import LinkState
from lexmesh.errors import DisconnectedError


@pytest.fixture
def state() -> LinkState:
    made = LinkState()
    made.told = []
    made.say = made.told.append
    return made


async def test_up_waits_for_the_connection_and_for_each_next_one(state: LinkState) -> None:
    first = asyncio.ensure_future(state.up())
    await asyncio.sleep(0)
    assert not first.done()
    state.change("connected", "")
    await first
    state.change("disconnected", "1006")
    second = asyncio.ensure_future(state.up())
    await asyncio.sleep(0)
    assert not second.done()
    state.change("retrying", "in 0.1 s")
    state.change("connected", "")
    await second
    assert state.told == ["disconnected: connection lost (1006); trying again until it is back", "connected again"]


async def test_a_verdict_of_the_gateway_is_final(state: LinkState) -> None:
    state.change("connected", "")
    state.change("disconnected", "1008 nothing but denied messages")
    for later in ("retrying", "connected"):
        state.change(later, "")
        with pytest.raises(DisconnectedError, match="1008"):
            await state.up()


async def test_a_disconnect_of_our_own_is_not_worth_a_line(state: LinkState) -> None:
    state.change("connected", "")
    state.closing()
    state.change("disconnected", "1000")
    state.change("closed", "")
    assert state.told == []
