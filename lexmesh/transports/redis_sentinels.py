"""Asks sentinels which server is the master: all at once, since one of them may have gone with the master before."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis, Sentinel
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import AuthenticationError

from lexmesh.transports.redis_faults import GONE, SentinelsRefuseError

__all__ = ["ANSWER_SECONDS", "Sentinels"]

ANSWER_SECONDS = 0.5
"""How long those that are slow are waited for, once another one has answered."""


class Sentinels(Sentinel):
    """As redis-py's, which asks one after the other and takes the first answer."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Address of the master by the latest election that any sentinel knows of.

        Raises:
            redis.exceptions.ConnectionError: if none names a master that is up.
        """
        asked = [asyncio.ensure_future(self._state(sentinel, service_name)) for sentinel in self.sentinels]
        try:
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            while pending := [one for one in asked if not one.done()]:
                has_answer = any(one.done() and isinstance(one.result(), dict) for one in asked)
                done, _ = await asyncio.wait(pending, timeout=ANSWER_SECONDS if has_answer else None)
                if not done:
                    break
        finally:
            for one in asked:
                one.cancel()
        return self._latest([one.result() for one in asked if one.done()], service_name)

    def _latest(self, answers: list[dict[str, Any] | Exception | None], service_name: str) -> tuple[str, int]:
        states = [one for one in answers if isinstance(one, dict) and self.check_master_state(one, service_name)]
        if states:
            latest = max(states, key=lambda state: int(state["config-epoch"]))
            return latest["ip"], latest["port"]
        if any(isinstance(one, AuthenticationError) or "NOAUTH" in str(one) for one in answers):
            raise SentinelsRefuseError
        raise MasterNotFoundError("no sentinel names a master that is up")

    async def _state(self, sentinel: Redis, service_name: str) -> dict[str, Any] | Exception | None:
        """What one of them says of the master, or why it does not."""
        try:
            masters = await sentinel.sentinel_masters()
        except GONE as error:
            return error
        return masters.get(service_name) if isinstance(masters, dict) else None
