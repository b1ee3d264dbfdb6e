"""What a node hears of what is published, at once or from what is kept for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lexmesh._codec import StreamEvent
from lexmesh.config import MeshConfig
from lexmesh.errors import ConfigError, RequestTimeoutError
from lexmesh.mesh.durable_subscriptions import DurableSubscriptions
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.arguments import check_seconds
from lexmesh.transports.gateway_protocol import GatewayProtocol
from lexmesh.transports.websocket import WebSocketServer

if TYPE_CHECKING:
    from lexmesh.mesh.redis_mesh import RedisMesh

__all__ = ["SubscriptionMethods"]


class SubscriptionMethods:
    """The part of MeshCore that is about subscriptions."""

    config: MeshConfig
    gateway: WebSocketServer
    pipeline: StreamPipeline
    _durable: DurableSubscriptions
    _protocol: GatewayProtocol
    _redis: RedisMesh | None

    def subscribe(
        self, subject: str, handler: Callable[[StreamEvent], Any], group: str = "", *, durable: bool = False
    ) -> None:
        """Calls a handler with every event on a subject, of this node's and others'.

        Args:
            subject: an event type; `*` stands for one token, `>` at the end for the rest.
            handler: callable(event), sync or async. A dict it returns is sent back to who published the event.
            group: a queue group: of all its members on this subject, handlers and clients of any node, one gets each
                event. While nodes learn of members that come or go, none or two may get one: work that must not be
                lost is for `submit`, or for a durable group.
            durable: keep what is published for the group on Redis until a member has handled it, whoever is there
                meanwhile; the group stays when its members end. An event is acknowledged when the handler returns. If
                it raises, or takes longer than `durable_seconds`, it is tried again, here or elsewhere, and given up
                after `durable_attempts`: see `lexmesh durable dead`. It may be handled twice where a node dies. Events
                for one node (`target_node`) are not kept.

        Raises:
            ConfigError: if it is durable and this node does not use Redis.
            SubjectError: if the subject is not a pattern.
            ValueError: if the group's name is none, or this node has members in too many others.
        """
        if durable:
            self._check_redis("durable groups need it")
            self._durable.add(str(subject), group, handler)
        else:
            self.gateway.subscribe(subject, handler, group)

    async def stored(self, timeout: float = 10.0) -> None:
        """Waits until Redis has what this node published for durable groups, and knows the groups of this node.

        Args:
            timeout: seconds.

        Raises:
            ConfigError: if this node does not use Redis.
            RequestTimeoutError: if it does not in time; what waits is stored when it can.
        """
        check_seconds("timeout", timeout)
        self._check_redis("nothing is stored without it")
        try:
            async with asyncio.timeout(timeout):
                if self._redis is None:
                    raise RuntimeError("the node is not running: start() it first")
                await self._redis.stored()
        except TimeoutError:
            raise RequestTimeoutError("what is published for durable groups to be stored", timeout) from None

    def _check_redis(self, why: str) -> None:
        if not (self.config.enable_redis or self.config.redis_required):
            raise ConfigError("enable_redis", "False", f"{why}; set it to true, and redis_url to where Redis is")

    def unsubscribe(self, subject: str, handler: object) -> bool:
        """Ends a subscription, a group's too; whether there was one."""
        plain = self.pipeline.unregister_handler(subject, handler)
        durable = self._durable.remove(subject, handler)
        return self._protocol.groups.leave_handler(subject, handler) or durable or plain

    def register_event_handler(self, event_type: str, handler: Callable[..., Any]) -> None:
        """Calls a handler with the data of every event on a subject; else as `subscribe`."""
        self.gateway.register_handler(event_type, handler)
