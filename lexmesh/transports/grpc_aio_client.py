"""The gRPC client for coroutines."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import Any, Self

from lexmesh._codec import StreamEvent
from lexmesh._wire import encode_health_request
from lexmesh.transports.arguments import check_seconds
from lexmesh.transports.grpc_answers import DataResponse, EventResponse, HealthResponse, StreamReceipt
from lexmesh.transports.grpc_caller import CallingClient
from lexmesh.transports.grpc_channel import open_aio_channel
from lexmesh.transports.grpc_core import grpc
from lexmesh.transports.grpc_exchange import Exchange
from lexmesh.transports.grpc_failure import PROBE_SECONDS, cut_short, explained, refused, unanswered
from lexmesh.transports.grpc_methods import HEALTH_CHECK, SEND_DATA, STREAM_EVENTS

Event = StreamEvent | Mapping[str, Any]
Call = grpc.aio.StreamStreamCall[bytes, bytes]
Callback = Callable[[EventResponse], object]


class AsyncGrpcClient(CallingClient[grpc.aio.Channel]):
    """A node that speaks to a gateway over gRPC, call by call; arguments, calls and errors are those of GrpcClient.

    All calls are for the event loop that `connect` ran on.
    """

    # -- life -----------------------------------------------------------------------------------------------------

    async def connect(self, timeout: float = 10.0) -> None:
        """Connects, and asks the gateway for its health; see GrpcClient.connect."""
        check_seconds("timeout", timeout)
        if self._channel is not None:
            return
        channel = open_aio_channel(self.address, self.config)
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH_CHECK)
        request = encode_health_request("")
        try:
            await call(request, timeout=timeout, metadata=self._requests.headers, wait_for_ready=False)
        except BaseException as error:
            await channel.close()
            if isinstance(error, grpc.aio.AioRpcError):
                raise refused(self.address.url, error.code(), error.details() or "") from None
            raise
        self._channel = channel
        self._requests.open()

    async def disconnect(self) -> None:
        """Closes the connection; calls under way end."""
        channel, self._channel = self._channel, None
        self._requests.close()
        if channel is not None:
            await channel.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()

    # -- calls ----------------------------------------------------------------------------------------------------

    async def send_data(
        self,
        target_node: str = "",
        data_type: str = "sensor_reading",
        data: bytes = b"",
        metadata: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
    ) -> DataResponse:
        """Sends one reading and waits until its handlers have run; see GrpcClient.send_data."""
        seconds = self._seconds(timeout)
        message = self._requests.datum(data_type, data, metadata, target_node)
        answer = b""
        answered = False
        try:
            answer = await self._call(SEND_DATA, "send_data", message, seconds)
            answered = True
        finally:
            self._requests.settle(data_type, answered=answered)
        return DataResponse.from_proto(answer)

    async def health_check(self, node_id: str = "", *, timeout: float | None = None) -> HealthResponse:
        """Asks how the gateway is; see GrpcClient.health_check."""
        answer = await self._call(HEALTH_CHECK, "health_check", encode_health_request(node_id), self._seconds(timeout))
        return HealthResponse.from_proto(answer)

    async def stream_events(
        self,
        events: Iterable[Event] | AsyncIterable[Event],
        response_callback: Callable[[EventResponse], object] | None = None,
        *,
        timeout: float | None = None,
    ) -> StreamReceipt:
        """Sends events, each of which is answered; see GrpcClient.stream_events.

        Args:
            events: StreamEvents, or dicts with their fields; a sync iterable is read on the loop.
            response_callback: called with each answer, in the order of the events; may be async.
            timeout: seconds for the whole stream; None for as long as it takes.
        """
        if timeout is not None:
            check_seconds("timeout", timeout)
        exchange = Exchange(self._requests)
        stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self._open().stream_stream(STREAM_EVENTS)
        call = stream(timeout=timeout, metadata=self._requests.headers, wait_for_ready=self._reconnect)
        saying = asyncio.ensure_future(_say(call, exchange, events, response_callback))
        try:
            await _answers(call, exchange, response_callback, saying)
        except grpc.aio.AioRpcError as error:
            raise cut_short(self.address.url, timeout, error, exchange.unanswered) from None
        finally:
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)
            call.cancel()
            receipt = exchange.end()
        return receipt

    # -- inside ---------------------------------------------------------------------------------------------------

    async def _call(self, method: str, what: str, message: bytes, seconds: float) -> bytes:
        """One unary call."""
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._open().unary_unary(method)
        try:
            return await call(message, timeout=seconds, metadata=self._requests.headers, wait_for_ready=self._reconnect)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise unanswered(self.address.url, what, seconds, await self._probe()) from None
            raise explained(self.address.url, what, seconds, error) from None

    async def _probe(self) -> grpc.aio.AioRpcError | None:
        """Asks for the gateway's health, if there is a connection; how that failed."""
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._open().unary_unary(HEALTH_CHECK)
        headers = self._requests.headers
        try:
            await call(encode_health_request(""), timeout=PROBE_SECONDS, metadata=headers, wait_for_ready=False)
        except grpc.aio.AioRpcError as error:
            return error
        return None


async def _say(
    call: Call, exchange: Exchange, events: Iterable[Event] | AsyncIterable[Event], callback: Callback | None
) -> None:
    """Sends the messages of all events; ends early, in silence, when the call has: who reads the answers knows why."""
    try:
        if isinstance(events, AsyncIterable):
            async for item in events:
                await _say_one(call, exchange, item, callback)
        else:
            for item in events:
                await _say_one(call, exchange, item, callback)
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return


async def _say_one(call: Call, exchange: Exchange, item: Event, callback: Callback | None) -> None:
    message = exchange.say(item)
    if message is None:
        await _tell(callback, exchange)
        await asyncio.sleep(0)  # a stream of nothing but refusals lets others run
    else:
        await call.write(message)


async def _answers(
    call: Call,
    exchange: Exchange,
    callback: Callback | None,
    saying: asyncio.Future[None],
) -> None:
    """Hands on every answer until the gateway ends the call; raises what the events raised."""
    reading: asyncio.Future[Any] = asyncio.ensure_future(call.read())
    try:
        while True:
            waiting: set[asyncio.Future[Any]] = {reading} if saying.done() else {reading, saying}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if saying.done() and not saying.cancelled() and (error := saying.exception()) is not None:
                raise error
            if not reading.done():
                continue
            message = reading.result()
            if not isinstance(message, bytes):
                await _tell(callback, exchange)
                return
            exchange.answered(message)
            await _tell(callback, exchange)
            reading = asyncio.ensure_future(call.read())
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _tell(callback: Callback | None, exchange: Exchange) -> None:
    with contextlib.closing(exchange.answers()) as answers:
        for response in answers:
            result = None if callback is None else callback(response)
            if inspect.isawaitable(result):
                awaited: Awaitable[object] = result
                await awaited
