"""One StreamEvents call: events in, an answer to each out, in their order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from lexmesh._asker import Answer
from lexmesh.errors import MalformedError
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.grpc_core import grpc
from lexmesh.transports.grpc_peers import Peer

Context = grpc.aio.ServicerContext[bytes, bytes]
EOF: Any = grpc.aio.EOF

logger = logging.getLogger("lexmesh.grpc")

MOST_ANSWERS = 64
"""Events taken in whose answers have not been written: handlers that run at a time, for one stream."""

MOST_ANSWER_BYTES = 1 << 20
"""Bytes of such answers. Once there are more, nothing is read until the client has read."""


def code_of(message: bytes, pipeline: StreamPipeline) -> grpc.StatusCode:
    """The status of a call that ends with a message which cannot be decoded, or is too big to try."""
    too_big = len(message) > pipeline.core.max_message_size
    return grpc.StatusCode.RESOURCE_EXHAUSTED if too_big else grpc.StatusCode.INVALID_ARGUMENT


def failed(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The status of a call that something of this node's own has broken; what that says is for the log alone."""
    logger.error("a call failed: %s", type(error).__name__, exc_info=error)
    return grpc.StatusCode.INTERNAL, "internal error; the node's log says more"


async def settled(answer: Answer) -> bytes:
    """Waits for a message's handlers; who stops waiting reads no answer."""
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    answer.when_done(lambda message: None if future.done() else future.set_result(message))  # a cancelled one is done
    try:
        return await future
    finally:
        answer.abandon()


class EventStream:
    """One call. A task reads and the call's own coroutine writes: what comes in while an answer leaves costs less.

    Args:
        pipeline: what the events go through.
        peer: who sends them.
        context: the call.
    """

    def __init__(self, pipeline: StreamPipeline, peer: Peer, context: Context) -> None:
        self._pipeline = pipeline
        self._peer = peer
        self._context = context
        self._answers: deque[bytes | Answer] = deque()
        self._held = 0  # bytes of those that are bytes
        self._writer: asyncio.Future[None] | None = None  # waits for answers
        self._reader: asyncio.Future[None] | None = None  # waits for room
        self._reading: asyncio.Task[None] | None = None
        self._has_ended = False
        self._status: tuple[grpc.StatusCode, str] | None = None  # why it ended; None: the client was done

    async def serve(self) -> None:
        """Answers all events until the client is done, the call is cut, or a message cannot be taken."""
        self._reading = asyncio.get_running_loop().create_task(self._read())
        try:
            await self._write()
            if self._status is not None:
                await self._context.abort(*self._status)
        finally:
            self._reading.cancel()
            for answer in self._answers:
                if isinstance(answer, Answer):
                    answer.abandon()

    def end(self, code: grpc.StatusCode, reason: str) -> None:
        """Reads no more; what has been taken in is answered, then the call ends with a status."""
        if self._reading is not None and not self._has_ended:
            self._status = code, reason
            self._reading.cancel()

    async def _read(self) -> None:
        read, answers, asker, core = self._context.read, self._answers, self._peer.asker, self._pipeline.core
        message = b""
        try:
            policed_by = core.scanner
            refusal = asker.refusal_of(self._context.invocation_metadata())
            while (message := await read()) is not EOF:
                if self._peer.limited:
                    await self._peer.ready()
                if core.scanner is not policed_by:
                    policed_by = core.scanner
                    refusal = asker.refusal_of(self._context.invocation_metadata())
                answer = asker.event(message, refusal)
                answers.append(answer)
                if self._writer is not None:
                    self._wake_writer()
                if isinstance(answer, bytes):
                    self._held += len(answer)
                if len(answers) > MOST_ANSWERS or self._held > MOST_ANSWER_BYTES:
                    await self._room()
        except MalformedError as error:
            self._status = code_of(message, self._pipeline), str(error)
        except grpc.aio.BaseError:  # of grpc itself, which has stopped serving before the call was cancelled
            self._status = grpc.StatusCode.UNAVAILABLE, "going away"
        except Exception as error:  # grpc would end the call as if all were well
            self._status = failed(error)
        finally:
            self._has_ended = True
            self._wake_writer()

    def _wake_writer(self) -> None:
        waiter, self._writer = self._writer, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _room(self) -> None:
        self._reader = asyncio.get_running_loop().create_future()
        await self._reader

    async def _write(self) -> None:
        loop, write, answers = asyncio.get_running_loop(), self._context.write, self._answers
        while True:
            while answers:
                answer = answers[0]
                if isinstance(answer, bytes):
                    self._held -= len(answer)
                else:
                    answer = await settled(answer)
                await write(answer)
                answers.popleft()
                if self._reader is not None:
                    self._make_room()
            if self._has_ended:
                return
            self._writer = loop.create_future()
            await self._writer

    def _make_room(self) -> None:
        if len(self._answers) <= MOST_ANSWERS // 2 and self._held <= MOST_ANSWER_BYTES // 2:
            waiter, self._reader = self._reader, None
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
