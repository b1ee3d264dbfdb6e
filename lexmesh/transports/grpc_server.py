"""The gRPC server: events and readings in, policed, each answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Self

from lexmesh._codec import StreamEvent
from lexmesh._reading import StreamData
from lexmesh._router import Endpoint
from lexmesh.config import MeshConfig
from lexmesh.node_names import check_node_id
from lexmesh.nsr import NsrPolicy
from lexmesh.nsr.configured import configured_policy
from lexmesh.pipeline import StreamPipeline, check_handler
from lexmesh.store.configured_audit import audit_file_of, start_audit
from lexmesh.transports.arguments import check_port, check_text
from lexmesh.transports.grpc_listener import GrpcListener
from lexmesh.transports.grpc_service import GrpcService
from lexmesh.transports.own_thread import OwnThread
from lexmesh.transports.policy_reload import PolicyReloader
from lexmesh.transports.runner import HandlerRunner
from lexmesh.transports.wall_clock import now_ms

DEFAULT_PORT = 50051

ALREADY = "the server has been started already; stop it first, or wait for it with wait_for_termination() or serve()"

DRAIN_SHARE = 0.75
"""What links, then calls, then handlers may take of what is left of a stop's time."""

TRIM_SECONDS = 1.0
"""How often the memory that large messages have left behind is given back."""


class GrpcServer:
    """A node that takes in messages over gRPC, polices them and answers each.

    Either `start`, `wait_for_termination` and `stop` in a plain script, where the server and its handlers run on an
    event loop in a thread of their own; or `async with` and `serve` in a coroutine, on its loop.

    Args:
        node_id: this node's name; the configuration's when None or empty.
        port: TCP port, 0 for any free one; the configuration's when None, 50051 unless configured.
        host: address to listen on; the configuration's when None (127.0.0.1 unless configured).
        config: limits and certificates; from the environment when None.
        policy: the consent policy; the configured file, which can be reloaded, or the default policy when None.
        pipeline: another server's, to serve the same node beside it, on its event loop; that server runs the handlers,
            and has the policy and the audit file.

    Raises:
        ConfigError: if the port is none.
        ValueError: if the name is none, see `node_names`.
        PolicyError: if the configured policy cannot be loaded.
    """

    def __init__(
        self,
        node_id: str | None = None,
        port: int | None = None,
        host: str | None = None,
        *,
        config: MeshConfig | None = None,
        policy: NsrPolicy | None = None,
        pipeline: StreamPipeline | None = None,
    ) -> None:
        self.config = config or MeshConfig()
        self.node_id = check_node_id(node_id or self.config.node_id)
        self.host = self.config.host if host is None else host
        configured = DEFAULT_PORT if self.config.grpc_port is None else self.config.grpc_port
        self.port = check_port(configured if port is None else port)
        self._is_guest = pipeline is not None
        policy_file = self.config.policy_file if policy is None else None
        self._started_ms = now_ms()
        self.pipeline = self._own_pipeline(policy) if pipeline is None else pipeline
        self._reloader = PolicyReloader(self.pipeline, policy_file)
        self._audit_file = None if self._is_guest else audit_file_of(self.config, self.pipeline.audit)
        self._runner = HandlerRunner(self.config.handler_concurrency)
        self._service = GrpcService(self.pipeline, self.config)
        self._listener: GrpcListener | None = None
        self._thread: OwnThread | None = None

    def _own_pipeline(self, policy: NsrPolicy | None) -> StreamPipeline:
        return StreamPipeline(
            self.node_id,
            policy=configured_policy(self.config) if policy is None else policy,
            epoch=self._started_ms,
            max_recursion_depth=self.config.max_recursion_depth,
            max_message_size=self.config.max_message_size,
            now=now_ms,
            audit_ring=self.config.audit_ring,
        )

    # -- what users register --------------------------------------------------------------------------------------

    def register_event_handler(self, event_type: str, handler: Callable[[StreamEvent], Any]) -> None:
        """Calls a handler with every event, and every reading, of a type.

        Args:
            event_type: a subject; `*` stands for one token, `>` at the end for the rest.
            handler: callable(event), sync or async. A dict it returns is the message of the answer, as JSON.

        Raises:
            SubjectError: if the subject is not a pattern.
            TypeError: if the subject is no text, or the handler cannot be called.
        """
        check_text("event_type", event_type)
        self.pipeline.register_handler(event_type, handler)

    def register_data_handler(self, data_type: str, handler: Callable[[StreamData], Any]) -> None:
        """Calls a handler with every reading, and every event, of a type, as a StreamData.

        Args:
            data_type: a subject; `*` stands for one token, `>` at the end for the rest.
            handler: callable(data), sync or async. A dict it returns is the message of the answer, as JSON.

        Raises:
            SubjectError: if the subject is not a pattern.
            TypeError: if the subject is no text, or the handler cannot be called.
        """
        check_text("data_type", data_type)
        check_handler(handler)

        def call(event: StreamEvent, _source: Endpoint) -> Any:
            return handler(StreamData.from_proto(event.to_proto()))

        self.pipeline.subscribe(data_type, handler, call)

    # -- on the caller's event loop -------------------------------------------------------------------------------

    async def open(self) -> None:
        """Listens, on the running event loop.

        Raises:
            ConfigError: if the audit file cannot be written, or a certificate cannot be read.
            PortInUseError: if another process has the port.
            RuntimeError: if the server has been started already.
            TransportError: if the address cannot be listened on.
        """
        if self._listener is not None:
            raise RuntimeError(ALREADY)
        if not self._is_guest:
            self.pipeline.core.thread = threading.get_ident()
            self.pipeline.run_coroutines_with(self._runner.spawn, self._runner.defer)
            await start_audit(self._audit_file, self.config)
        self._service.stopping.clear()
        self._service.links.start()
        self._listener = GrpcListener(self._service, self.host, self.port, self.config)
        try:
            await self._listener.start()
        except BaseException:
            self._listener = None
            if self._audit_file is not None:
                await self._audit_file.stop(0)
            raise
        self.port = self._listener.port
        self._trimmer = asyncio.get_running_loop().create_task(self._trim())

    async def close(self, grace_period: float = 5) -> None:
        """Drains: nothing new comes in, what was taken in is answered, open calls end with UNAVAILABLE.

        Args:
            grace_period: seconds that it may take; what is left then is dropped and counted.
        """
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        self._trimmer.cancel()
        now = asyncio.get_running_loop().time
        end = now() + grace_period
        await self._service.links.stop(DRAIN_SHARE * grace_period)
        await listener.stop(DRAIN_SHARE * max(0.0, end - now()))
        if not self._is_guest:
            await self._runner.finish(DRAIN_SHARE * max(0.0, end - now()))
            if self._audit_file is not None:
                await self._audit_file.stop(max(0.0, end - now()))

    async def serve(self) -> None:
        """Serves until cancelled; listens first, unless the server does already."""
        if self._listener is not None:
            await asyncio.Event().wait()
        async with self:
            await asyncio.Event().wait()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close(self.config.drain_seconds)

    async def _trim(self) -> None:
        while True:
            await asyncio.sleep(TRIM_SECONDS)
            self.pipeline.core.trim()
            self._service.links.look_after()

    async def reload_policy(self) -> bool:
        """Puts the configured policy file in force as it is now; on any failure the policy in force stays.

        Returns:
            Whether what is in the file is in force now; what happened is logged either way.
        """
        return await self._reloader.reload()

    # -- in a plain script ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listens, on an event loop in a thread of its own, and returns.

        Raises:
            ConfigError, PortInUseError, TransportError: as for `open`.
            RuntimeError: if the server has been started already; in a coroutine, where `async with server` is what
                does not block.
        """
        if self._listener is not None or (self._thread is not None and self._thread.is_running):
            raise RuntimeError(ALREADY)
        self._thread = OwnThread(self.open, self.close, self.reload_policy)
        self._thread.start()

    def stop(self, grace_period: float = 5) -> None:
        """Drains and ends, as `close` does; returns when that is done.

        Args:
            grace_period: seconds that it may take.
        """
        if self._thread is not None:
            self._thread.stop(grace_period)

    def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Waits until the server has been stopped; Ctrl-C and SIGTERM drain and stop it, SIGHUP reloads the policy.

        Args:
            timeout: seconds to wait at most; None for ever.

        Returns:
            Whether it has stopped.
        """
        return self._thread is None or self._thread.wait(timeout)

    def ledger(self) -> dict[str, Any]:
        """What came in and went out, by outcome, with this node's name, uptime and peers."""
        links = self.endpoints()
        return {
            "node_id": self.node_id,
            "uptime": (now_ms() - self._started_ms) / 1000,
            "connections": len(links),
            **self.pipeline.ledger(links),
            "links": [endpoint.counts() for endpoint in links],
        }

    def endpoints(self) -> list[Endpoint]:
        """The clients that have a call open and the nodes that have a link, as the ledger counts them."""
        return [*(peer.asker for peer in self._service.peers if peer.is_open), *self._service.links.endpoints]
