"""InternodeService: what is done with each call. Messages stay bytes: the compiled core reads and answers them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc

from lexmesh._answers import decode_health_request, encode_health
from lexmesh._asker import Answer, Asker
from lexmesh._codec import StreamEvent
from lexmesh._router import Endpoint
from lexmesh._stream_link import StreamLink
from lexmesh.config import MeshConfig
from lexmesh.errors import DeniedError, MalformedError
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.grpc_link_server import LinkService
from lexmesh.transports.grpc_peers import Peer, Peers

SERVICE = "lexmesh.v1.InternodeService"

Context = grpc.aio.ServicerContext[bytes, bytes]
Refusal = tuple[str, str] | None
EOF: Any = grpc.aio.EOF
METADATA_DENIED = grpc.StatusCode.PERMISSION_DENIED


def now_ms() -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


class GrpcService:
    """Handles the calls of one server.

    Args:
        pipeline: what the messages go through.
        config: limits.

    Attributes:
        methods: by name, how grpc is to handle each method.
        stopping: set when calls are to end.
    """

    def __init__(self, pipeline: StreamPipeline, config: MeshConfig) -> None:
        self.pipeline = pipeline
        self.config = config
        self.peers = Peers(pipeline, config, now_ms)
        self.links = LinkService(pipeline, config)
        self.stopping = asyncio.Event()
        self._started_ms = now_ms()
        self._answer_denied_elsewhere = pipeline.on_answer_denied
        pipeline.on_answer_denied = self._answer_denied
        self.methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "StreamEvents": grpc.stream_stream_rpc_method_handler(self.stream_events),
            "SendData": grpc.unary_unary_rpc_method_handler(self.send_data),
            "Link": grpc.stream_stream_rpc_method_handler(self.links.serve),
            "HealthCheck": grpc.unary_unary_rpc_method_handler(self.check_health),
        }

    async def stream_events(self, _requests: object, context: Context) -> None:
        """Takes in events and answers each."""
        peer = self.peers.of(context.peer())
        try:
            refusal = peer.asker.refusal_of(context.invocation_metadata())
            while (message := await context.read()) is not EOF:
                await context.write(await self._taken(peer, peer.asker.event, message, refusal, context))
        finally:
            self.peers.left(peer)

    async def send_data(self, message: bytes, context: Context) -> bytes:
        """Takes in one reading and answers it."""
        peer = self.peers.of(context.peer())
        try:
            refusal = peer.asker.refusal_of(context.invocation_metadata())
            return await self._taken(peer, peer.asker.reading, message, refusal, context)
        finally:
            self.peers.left(peer)

    async def check_health(self, message: bytes, context: Context) -> bytes:
        """Says whether this node is up."""
        asker = Asker(self.pipeline.core, None, 0)
        if refusal := asker.refusal_of(context.invocation_metadata()):
            await context.abort(METADATA_DENIED, str(DeniedError(*refusal)))
        try:
            wanted = decode_health_request(message)
        except MalformedError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        known = wanted in ("", self.pipeline.node_id)
        status = ("dormant" if self.stopping.is_set() else "active") if known else "unknown"
        return encode_health(status == "active", self.pipeline.node_id, status, (now_ms() - self._started_ms) // 1000)

    async def _taken(
        self,
        peer: Peer,
        take: Callable[[bytes, Refusal], bytes | Answer],
        message: bytes,
        refusal: Refusal,
        context: Context,
    ) -> bytes:
        """Takes in one message when it may come, and returns the answer to it once its handlers are done."""
        if peer.bucket is not None:
            await peer.charge(now_ms())
        if peer.paused:
            await peer.readable()
        try:
            answer = take(message, refusal)
        except MalformedError as error:
            too_big = len(message) > self.pipeline.core.max_message_size
            code = grpc.StatusCode.RESOURCE_EXHAUSTED if too_big else grpc.StatusCode.INVALID_ARGUMENT
            await context.abort(code, str(error))
        return answer if isinstance(answer, bytes) else await _settled(answer)

    def _answer_denied(self, source: Endpoint, request: StreamEvent, error: DeniedError) -> None:
        if isinstance(source, Asker):
            source.answer_denied(request, str(error))
        elif isinstance(source, StreamLink):
            self.links.answer_denied(source, request, error)
        elif self._answer_denied_elsewhere is not None:
            self._answer_denied_elsewhere(source, request, error)


async def _settled(answer: Answer) -> bytes:
    """Waits for a message's handlers; who stops waiting reads no answer."""
    settled: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    answer.on_done = settled.set_result
    try:
        return await settled
    finally:
        answer.abandon()
