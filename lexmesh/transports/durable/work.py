"""A node's part in the durable work of its mesh: which groups there are, and what this node does in them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from redis.exceptions import ResponseError

from lexmesh._router import Endpoint
from lexmesh.pipeline import Handler, StreamPipeline
from lexmesh.transports.durable.client import ELSEWHERE, StreamClient
from lexmesh.transports.durable.group import DurableGroup
from lexmesh.transports.durable.keys import DurableKeys
from lexmesh.transports.durable.registry import FROM_THE_BEGINNING, DurableKey, create_group, read_registry
from lexmesh.transports.durable.store import DurableStore
from lexmesh.transports.durable.told import Told
from lexmesh.transports.peer import PeerOwner
from lexmesh.transports.redis_faults import GONE
from lexmesh.transports.redis_losses import RedisLosses
from lexmesh.transports.together import ended, run_together

__all__ = ["DurableWork"]

TEND_SECONDS = 2.0
"""How often it is looked which groups there are, and what the streams hold."""

STOP_SHARE = 0.5
"""Of a stop's time, what handlers that run may take."""


class DurableWork:
    """Durable groups, of this node and of others.

    Args:
        gateway: the node's.
        pipeline: polices what comes, and counts.
        keys: the mesh's.
        epoch: this node's start in milliseconds since 1970-01-01 UTC.
        losses: where what is lost is counted.
        is_gone: callable(node), whether another node is known to be gone.
        tell: callable(), has all nodes look which groups there are.
    """

    def __init__(
        self,
        gateway: PeerOwner,
        pipeline: StreamPipeline,
        keys: DurableKeys,
        epoch: int,
        losses: RedisLosses,
        is_gone: Callable[[str], bool],
        tell: Callable[[], None],
    ) -> None:
        self._keys = keys
        self._config = gateway.config
        self._pipeline = pipeline
        self._losses = losses
        self._is_gone = is_gone
        self._tell = tell
        self._store = DurableStore(gateway, self._keys, epoch, losses)
        self._known: set[DurableKey] = set()
        self._groups: dict[DurableKey, DurableGroup] = {}
        self._client: StreamClient | None = None
        self._look = asyncio.Event()
        self._looked = asyncio.Event()
        self._others = asyncio.Event()
        self._refused = 0
        self._told = Told()

    # -- what the node uses -----------------------------------------------------------------------------------------

    @property
    def endpoints(self) -> list[Endpoint]:
        """What the ledger asks for messages in flight."""
        return self._store.endpoints

    def status(self) -> list[dict[str, Any]]:
        """How this node's groups stand, for people."""
        return [group.status() for group in self._groups.values()]

    def subscribe(self, key: DurableKey, handler: Handler) -> None:
        """Adds a handler to a group."""
        group = self._groups.get(key)
        if group is None:
            group = DurableGroup(self._pipeline, self._config, self._keys, key, self._is_gone)
            self._groups[key] = group
        group.handlers.add(handler)
        self._looked.clear()
        self._others.set()

    def unsubscribe(self, key: DurableKey, handler: object) -> None:
        """Takes a handler from a group, which stays on Redis, and keeps what comes for its other members."""
        if (group := self._groups.get(key)) is not None:
            group.handlers.remove(handler)

    def look(self) -> None:
        """There may be other groups now."""
        self._look.set()

    async def stored(self) -> None:
        """Waits until this node's groups are on Redis, and all that has been published here for durable groups."""
        await self._looked.wait()
        await self._store.drained()

    # -- while the server is there ----------------------------------------------------------------------------------

    async def prepare(self, client: StreamClient) -> None:
        """Looks which groups there are, before anything is published.

        Raises:
            redis.exceptions.RedisError, OSError: if the connection is gone.
        """
        with self._explained("durable groups have to wait"):
            await self._find_out(client)

    async def run(self, client: StreamClient) -> None:
        """Stores and works while the connection lasts.

        Raises:
            redis.exceptions.RedisError, OSError: if it is gone.
        """
        self._client = client
        try:
            await run_together(self._store.write(client), self._tend(client), self._work(client))
        finally:
            self._client = None

    async def stop(self, seconds: float) -> None:
        """Lets what runs end, says what is done, and has stored what was published."""
        with contextlib.suppress(TimeoutError, *GONE):
            async with asyncio.timeout(seconds):
                groups = list(self._groups.values())
                stops = [group.stop(self._client, STOP_SHARE * seconds, asyncio.current_task()) for group in groups]
                await asyncio.gather(*stops, return_exceptions=True)
                if self._client is not None:
                    await self._store.drained()

    def close(self) -> None:
        """Stores nothing more."""
        self._store.close()

    async def _tend(self, client: StreamClient) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TEND_SECONDS):
                    await self._look.wait()
            self._look.clear()
            with self._explained("durable groups have to wait"):
                await self._find_out(client)
            await self._store.trim(client)

    async def _find_out(self, client: StreamClient) -> None:
        """Learns which groups there are, and what Redis has lost; groups among that are written down again."""
        for group in [one for one in self._groups.values() if not one.is_known]:
            with self._explained(f"the durable group {group.key[1]} on {group.key[0]} has to wait"):
                await group.create(client)
                self._tell()
        registered = await read_registry(client, self._keys)
        self._count_refused(registered.refused)
        own = {key for key, group in self._groups.items() if len(group.handlers)}
        lost = (self._known | own) - registered.groups - registered.forgotten
        self._known = (self._known - registered.forgotten) | registered.groups | own
        self._store.arrange({pattern for pattern, _ in self._known})
        self._store.lives(registered.life)
        await self._store.look_for_losses(client)
        for key in lost:
            with self._explained(f"the durable group {key[1]} on {key[0]} has to wait"):
                await create_group(client, self._keys, key, FROM_THE_BEGINNING)
        if all(group.is_known for group in self._groups.values()):
            self._looked.set()

    def _count_refused(self, entries: int) -> None:
        """Counts what is in the registry and no group, once."""
        self._losses.refused += max(0, entries - self._refused)
        self._refused = entries

    @contextlib.contextmanager
    def _explained(self, matter: str) -> Iterator[None]:
        """What the server cannot do, or not for this node, is said once, and asked again."""
        try:
            yield
        except ELSEWHERE:
            raise
        except ResponseError as error:
            self._told.say(matter, error)
        else:
            self._told.is_over(matter)

    async def _work(self, client: StreamClient) -> None:
        """Has each group work; ends with the first that cannot."""
        running: dict[DurableKey, asyncio.Task[None]] = {}
        others: asyncio.Task[Any] | None = None
        try:
            while True:
                self._others.clear()
                for key in self._groups.keys() - running.keys():
                    running[key] = asyncio.ensure_future(self._groups[key].run(client))
                if others is None or others.done():
                    others = asyncio.ensure_future(self._others.wait())
                self._look.set()
                await asyncio.wait([others, *running.values()], return_when=asyncio.FIRST_COMPLETED)
                for key in [key for key, task in running.items() if task.done()]:
                    running.pop(key).result()
                    if self._groups[key].is_idle:
                        del self._groups[key]
        finally:
            await ended([*running.values(), *([others] if others else [])], 0.1)
