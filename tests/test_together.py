"""Tasks that end with each other leave nothing behind, however they are ended."""

import asyncio

from raw_ws import eventually

from lexmesh.transports.together import run_together


async def test_what_outlives_a_first_cancellation_is_not_left_behind() -> None:
    """As redis-py does while it connects; and who ends it all is himself cancelled more than once."""
    begun = asyncio.Event()
    refusals = 3
    ended = False

    async def stubborn() -> None:
        nonlocal refusals, ended
        begun.set()
        while refusals:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                refusals -= 1
        ended = True

    outer = asyncio.create_task(run_together(stubborn()))
    await begun.wait()
    outer.cancel()
    await eventually(lambda: refusals < 3, "it has been cancelled")
    outer.cancel()
    await asyncio.wait([outer])
    assert outer.cancelled()
    assert ended
