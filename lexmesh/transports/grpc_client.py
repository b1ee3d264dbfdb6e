"""The blocking gRPC client, for plain scripts."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from lexmesh._codec import StreamEvent
from lexmesh._wire import encode_health_request
from lexmesh.transports.arguments import check_seconds
from lexmesh.transports.grpc_answers import DataResponse, EventResponse, HealthResponse, StreamReceipt
from lexmesh.transports.grpc_caller import CallingClient
from lexmesh.transports.grpc_channel import open_channel
from lexmesh.transports.grpc_core import grpc
from lexmesh.transports.grpc_exchange import Exchange
from lexmesh.transports.grpc_failure import PROBE_SECONDS, cut_short, explained, refused, unanswered
from lexmesh.transports.grpc_methods import HEALTH_CHECK, SEND_DATA, STREAM_EVENTS

Event = StreamEvent | Mapping[str, Any]


class GrpcClient(CallingClient[grpc.Channel]):
    """A node that speaks to a gateway over gRPC, call by call. AsyncGrpcClient is its twin for coroutines.

    A connection that breaks is made again by itself, with backoff; a call made meanwhile waits for it up to its
    deadline.

    Args:
        node_id: this node's name, the source of what it sends.
        host, port: the gateway.
        tls: how to speak TLS; None for plain text.
        headers: metadata of every call, such as credentials; policed like any metadata.
        timeout: seconds that a call may take unless it says otherwise.
        reconnect: whether calls wait for a broken connection; else they fail at once.
        config: limits; from the environment when None.
        policy: the consent policy that what leaves must pass; the configured file or the default policy when None. The
            gateway has its own.

    Raises:
        ConfigError: if the host or the port is none.
        DeniedError: if the policy refuses the headers.
        PolicyError: if the configured policy cannot be loaded.
        ValueError: if the name is none, see `node_names`.
    """

    # -- life -----------------------------------------------------------------------------------------------------

    def connect(self, timeout: float = 10.0) -> None:
        """Connects, and asks the gateway for its health.

        Args:
            timeout: seconds.

        Raises:
            ConnectError: if nothing answers there.
            HandshakeError: if what answers is no lexmesh gateway.
            RuntimeError: in a coroutine, whose loop would stand still meanwhile.
        """
        _not_in_a_coroutine()
        check_seconds("timeout", timeout)
        if self._channel is not None:
            return
        channel = open_channel(self.address, self.config)
        try:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH_CHECK)
            call(encode_health_request(""), timeout=timeout, metadata=self._requests.headers, wait_for_ready=False)
        except BaseException as error:
            channel.close()
            if isinstance(error, grpc.RpcError):
                raise refused(self.address.url, error.code(), error.details() or "") from None
            raise
        self._channel = channel
        self._requests.open()

    def disconnect(self) -> None:
        """Closes the connection; calls under way end."""
        channel, self._channel = self._channel, None
        self._requests.close()
        if channel is not None:
            channel.close()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    # -- calls ----------------------------------------------------------------------------------------------------

    def send_data(
        self,
        target_node: str = "",
        data_type: str = "sensor_reading",
        data: bytes = b"",
        metadata: Mapping[str, str] | None = None,
        *,
        timeout: float | None = None,
    ) -> DataResponse:
        """Sends one reading and waits until its handlers have run.

        Args:
            target_node: one node's name; empty for everyone who subscribes.
            data_type: the subject.
            data: the reading.
            metadata: policed in full.
            timeout: seconds; the client's when None.

        Returns:
            What became of it; what the gateway denies has `success` false, and raises nothing.

        Raises:
            ConnectError: if the connection broke before, and none was made in time; nothing was sent.
            DeniedError: if this node's policy refuses it; that needs no connection.
            DisconnectedError: if there is no connection, or it breaks.
            MalformedError: if the fields do not make a message.
            RequestTimeoutError: if no answer comes in time.
            TransportError: if the gateway refuses it, as too big for instance.
        """
        _not_in_a_coroutine()
        seconds = self._seconds(timeout)
        message = self._requests.datum(data_type, data, metadata, target_node)
        answer = b""
        answered = False
        try:
            answer = self._call(SEND_DATA, "send_data", message, seconds)
            answered = True
        finally:
            self._requests.settle(data_type, answered=answered)
        return DataResponse.from_proto(answer)

    def health_check(self, node_id: str = "", *, timeout: float | None = None) -> HealthResponse:
        """Asks how the gateway is.

        Args:
            node_id: which node is meant; the one that answers when empty.
            timeout: seconds; the client's when None.

        Raises:
            DisconnectedError, RequestTimeoutError, TransportError: as for send_data.
        """
        _not_in_a_coroutine()
        return HealthResponse.from_proto(
            self._call(HEALTH_CHECK, "health_check", encode_health_request(node_id), self._seconds(timeout))
        )

    def stream_events(
        self,
        events: Iterable[Event] | AsyncIterable[Event],
        response_callback: Callable[[EventResponse], object] | None = None,
        *,
        timeout: float | None = None,
    ) -> StreamReceipt:
        """Sends events, each of which is answered; returns when all are.

        An event that a policy refuses, here or at the gateway, is answered with `success` false; the stream goes on.

        Args:
            events: StreamEvents, or dicts with their fields; any iterable, which is read in another thread.
            response_callback: called with each answer, in the order of the events; in the thread that reads the
                events, where one is refused here and nothing else waits for an answer.
            timeout: seconds for the whole stream; None for as long as it takes.

        Returns:
            How many were sent, accepted and refused.

        Raises:
            DisconnectedError: if there is no connection, or it breaks; it says how many events had no answer.
            MalformedError: if an event makes no message.
            TypeError: if an event is none, or the callback is async.
        """
        _not_in_a_coroutine()
        if inspect.iscoroutinefunction(response_callback):
            raise TypeError("response_callback is async, which nobody would await; AsyncGrpcClient takes such ones")
        if timeout is not None:
            check_seconds("timeout", timeout)
        exchange = Exchange(self._requests)
        tell = response_callback or (lambda _response: None)
        source = _Source(exchange, events, tell)
        stream: grpc.StreamStreamMultiCallable[bytes, bytes] = self._open().stream_stream(STREAM_EVENTS)
        call = stream(iter(source), timeout=timeout, metadata=self._requests.headers, wait_for_ready=self._reconnect)
        try:
            for message in call:
                exchange.answered(message)
                _tell(tell, exchange)
            _tell(tell, exchange)
        except grpc.RpcError as error:
            source.stop()
            if source.error is None:
                raise cut_short(self.address.url, timeout, error, exchange.unanswered) from None
        finally:
            call.cancel()
            source.stop()
            receipt = exchange.end()
        if source.error is not None:
            raise source.error
        return receipt

    # -- inside ---------------------------------------------------------------------------------------------------

    def _call(self, method: str, what: str, message: bytes, seconds: float) -> bytes:
        """One unary call."""
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._open().unary_unary(method)
        try:
            return call(message, timeout=seconds, metadata=self._requests.headers, wait_for_ready=self._reconnect)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise unanswered(self.address.url, what, seconds, self._probe()) from None
            raise explained(self.address.url, what, seconds, error) from None

    def _probe(self) -> grpc.RpcError | None:
        """Asks for the gateway's health, if there is a connection; how that failed."""
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._open().unary_unary(HEALTH_CHECK)
        headers = self._requests.headers
        try:
            call(encode_health_request(""), timeout=PROBE_SECONDS, metadata=headers, wait_for_ready=False)
        except grpc.RpcError as error:
            return error
        return None


class _Source:
    """The messages of a stream, read by grpc in a thread of its own.

    Attributes:
        error: what the events or one of them raised.
    """

    def __init__(
        self,
        exchange: Exchange,
        events: Iterable[Event] | AsyncIterable[Event],
        callback: Callable[[EventResponse], object],
    ) -> None:
        self._exchange = exchange
        self._callback = callback
        self._events = _blocking(events) if isinstance(events, AsyncIterable) else events
        self._lock = threading.Lock()
        self._stopped = False
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for item in self._events:
                with self._lock:  # so that nothing is counted as sent once the stream has been accounted for
                    if self._stopped:
                        return
                    message = self._exchange.say(item)
                if message is None:
                    _tell(self._callback, self._exchange)
                else:
                    yield message
        except GeneratorExit:
            raise
        except BaseException as error:  # else grpc's thread dies of it, and the call waits for more
            self.error = error

    def stop(self) -> None:
        """Nothing more is asked for."""
        with self._lock:
            self._stopped = True


def _tell(callback: Callable[[EventResponse], object], exchange: Exchange) -> None:
    with contextlib.closing(exchange.answers()) as answers:
        for response in answers:
            callback(response)


def _blocking(events: AsyncIterable[Event]) -> Iterator[Event]:
    """An async iterable as a plain one, on a loop of its own."""
    with asyncio.Runner() as runner:
        iterator = aiter(events)
        while True:
            try:
                yield runner.run(_next(iterator))
            except StopAsyncIteration:
                return


async def _next(iterator: Any) -> Any:
    return await anext(iterator)


def _not_in_a_coroutine() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("GrpcClient blocks; in a coroutine use AsyncGrpcClient")
