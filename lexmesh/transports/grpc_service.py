"""InternodeService: what is done with each call. Messages stay bytes: the compiled core reads and answers them."""

from __future__ import annotations

import asyncio
from typing import Any

from lexmesh._answers import decode_health_request, encode_health
from lexmesh._asker import Asker
from lexmesh._codec import StreamEvent
from lexmesh._router import Endpoint
from lexmesh._stream_link import StreamLink
from lexmesh.config import MeshConfig
from lexmesh.errors import DeniedError, MalformedError
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.grpc_core import grpc
from lexmesh.transports.grpc_link_server import LinkService
from lexmesh.transports.grpc_peers import Peers
from lexmesh.transports.grpc_stream import Context, EventStream, code_of, failed, settled
from lexmesh.transports.wall_clock import now_ms

SERVICE = "lexmesh.v1.InternodeService"

METADATA_DENIED = grpc.StatusCode.PERMISSION_DENIED


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
        self._streams: set[EventStream] = set()
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
        stream = EventStream(self.pipeline, peer, context)
        self._streams.add(stream)
        try:
            await stream.serve()
        finally:
            self._streams.discard(stream)
            self.peers.left(peer)

    async def send_data(self, message: bytes, context: Context) -> bytes:
        """Takes in one reading and answers it."""
        peer = self.peers.of(context.peer())
        try:
            if peer.limited:
                await peer.ready()
            answer = peer.asker.reading(message, peer.asker.refusal_of(context.invocation_metadata()))
            return answer if isinstance(answer, bytes) else await settled(answer)
        except MalformedError as error:
            status = code_of(message, self.pipeline), str(error)
        except Exception as error:
            status = failed(error)
        finally:
            self.peers.left(peer)
        await context.abort(*status)

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

    def end_streams(self) -> None:
        """Has each stream end, once what was taken in has been answered."""
        for stream in list(self._streams):
            stream.end(grpc.StatusCode.UNAVAILABLE, "going away")

    def _answer_denied(self, source: Endpoint, request: StreamEvent, error: DeniedError) -> None:
        if isinstance(source, Asker):
            source.answer_denied(request, str(error))
        elif isinstance(source, StreamLink):
            self.links.answer_denied(source, request, error)
        elif self._answer_denied_elsewhere is not None:
            self._answer_denied_elsewhere(source, request, error)
