"""Flow control of a publisher: windows of messages, each confirmed by the gateway before too many are under way."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from ..errors import DisconnectedError
from .receipts import Receipts
from .state import LinkState

if TYPE_CHECKING:
    from ..transports.gateway_client import GatewayClient

__all__ = ["Window"]

# Two windows under way hide the round trip of a confirmation; more would only wait in the gateway's buffers, where a
# slow subscriber's overflow policy might drop them.
MESSAGES: Final = 4096
BYTES: Final = 512 * 1024
UNDER_WAY: Final = 2
CONFIRM_SECONDS: Final = 1.0  # how long messages that come slowly may stay unconfirmed


class Window:
    """Lets a publisher run ahead of the gateway by at most two windows.

    Args:
        client: the connection; what is published on it is counted here by the caller.
        receipts: gets every confirmation.
        state: tells when the connection is there.
    """

    def __init__(self, client: GatewayClient, receipts: Receipts, state: LinkState) -> None:
        self._client = client
        self._receipts = receipts
        self._state = state
        self._messages = 0
        self._bytes = 0
        self._confirmations: deque[asyncio.Task[None]] = deque()

    def add(self, size: int) -> bool:
        """Counts one published message of `size` bytes; True when the window is full and `turn` is due."""
        self._messages += 1
        self._bytes += size
        return self._messages >= MESSAGES or self._bytes >= BYTES

    async def turn(self) -> None:
        """Closes the window and waits until fewer than two are unconfirmed and the connection is up.

        Raises:
            DisconnectedError: the gateway has refused what was sent.
        """
        self._begin_confirmation()
        await asyncio.sleep(0)  # so that the confirmation asks for this window, not for the next one too
        while len(self._confirmations) >= UNDER_WAY:
            await self._confirmations.popleft()
        await self._state.up()

    async def keep_confirming(self) -> None:
        """Has messages confirmed that do not fill a window for a while; to be cancelled."""
        while True:
            await asyncio.sleep(CONFIRM_SECONDS)
            while self._confirmations and self._confirmations[0].done() and not self._confirmations[0].exception():
                self._confirmations.popleft()
            if self._messages and not self._confirmations:
                self._begin_confirmation()

    async def finish(self) -> None:
        """Waits until every published message is confirmed, or lost with its connection."""
        while self._confirmations:
            await self._confirmations.popleft()
        await self._confirm()

    def _begin_confirmation(self) -> None:
        self._messages = self._bytes = 0
        self._confirmations.append(asyncio.create_task(self._confirm()))

    async def _confirm(self) -> None:
        try:
            receipt = await self._client.flush()
        except DisconnectedError:
            return  # what was under way is not known to have arrived, and nothing can tell any more
        self._receipts.add(receipt, self._client.accounts)
