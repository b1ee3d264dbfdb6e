"""The errors that lexmesh raises.

Each message says what was wrong, where, and what to do about it. One ``except LexmeshError`` catches them all::

    LexmeshError
    ├── ConfigError              an option has no usable value
    ├── PolicyError              a consent policy cannot be loaded
    ├── MalformedError           a message cannot be decoded (also ValueError)
    ├── DeniedError              a message was refused by the consent policy
    ├── SubjectError             a subscription is not a subject pattern (also ValueError)
    ├── BusStoppedError          an event bus is not running
    ├── EventDroppedError        an event bus was full and dropped the event
    ├── TaskError                a task given to the mesh was not done
    │   ├── TaskFailedError      its handler raised, wherever it was tried
    │   ├── TaskRefusedError     its handler said that no node should do it
    │   ├── NoNodeError          no node takes such tasks
    │   └── TaskTimeoutError     no result within the time asked for (also TimeoutError)
    └── TransportError           a connection or a listener failed
        ├── ConnectError         nothing there to connect to (also ConnectionError)
        ├── PortInUseError       the address to listen on is taken (also OSError)
        ├── HandshakeError       the peer answered, but does not speak lexmesh
        ├── DisconnectedError    the connection is gone (also ConnectionError)
        │   ├── NotConnectedError         there is no connection yet, or none any more
        │   └── OverflowDisconnectError   closed with 4008: this side read too slowly
        └── RequestTimeoutError  no reply within the time asked for (also TimeoutError)

The arguments stay readable as attributes and the errors survive ``pickle``, so that they can cross a process border.
"""

from __future__ import annotations

__all__ = [
    "BusStoppedError",
    "ConfigError",
    "ConnectError",
    "DeniedError",
    "DisconnectedError",
    "EventDroppedError",
    "HandshakeError",
    "LexmeshError",
    "MalformedError",
    "NoNodeError",
    "NotConnectedError",
    "OverflowDisconnectError",
    "PolicyError",
    "PortInUseError",
    "RequestTimeoutError",
    "SubjectError",
    "TaskError",
    "TaskFailedError",
    "TaskRefusedError",
    "TaskTimeoutError",
    "TransportError",
]


class LexmeshError(Exception):
    """Root of all errors that lexmesh raises on purpose."""


class ConfigError(LexmeshError):
    """An option has no usable value.

    Args:
        option: name of the option; empty when the file as a whole is unreadable.
        value: the value as text, with secrets already masked; None where there is none to show.
        reason: what is wrong with it, and what would be right.
        source: where it came from: ``mesh.toml:3``, ``LEXMESH_WEBSOCKET_PORT``, ``--port``, or empty for a keyword.
    """

    def __init__(self, option: str, value: str | None, reason: str, source: str = "") -> None:
        super().__init__(option, value, reason, source)
        self.option = option
        self.value = value
        self.reason = reason
        self.source = source

    def __str__(self) -> str:
        where = f"{self.source}: " if self.source else ""
        if not self.option:
            return f"{where}{self.reason}"
        shown = "" if self.value is None else f" = {self.value}"
        return f"{where}{self.option}{shown}: {self.reason}"


class PolicyError(LexmeshError):
    """A consent policy cannot be loaded, so nothing is let through.

    Args:
        file: path of the policy.
        line: line of the mistake, counted from 1; 0 when it is not about one line.
        reason: what is wrong, and what would be right.
        source: what named the file: ``LEXMESH_POLICY_FILE``, ``mesh.toml:3``, ``--policy``, or empty for a caller.
    """

    def __init__(self, file: str, line: int, reason: str, source: str = "") -> None:
        super().__init__(file, line, reason, source)
        self.file = file
        self.line = line
        self.reason = reason
        self.source = source

    def __str__(self) -> str:
        named_by = f"{self.source}: " if self.source else ""
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{named_by}{where}: {self.reason}"


class MalformedError(LexmeshError, ValueError):
    """A message cannot be decoded, so it was refused whole.

    Args:
        reason: what is wrong with it.
        offset: byte offset in the message at which decoding stopped.
    """

    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(reason, offset)
        self.reason = reason
        self.offset = offset

    def __str__(self) -> str:
        return f"malformed message: {self.reason} at byte {self.offset}"


class DeniedError(LexmeshError):
    """A message was refused by the consent policy; the text that broke the rule is never repeated.

    Args:
        rule: name of the rule.
        path: the field that broke it, such as ``metadata.note``.
    """

    def __init__(self, rule: str, path: str) -> None:
        super().__init__(rule, path)
        self.rule = rule
        self.path = path

    def __str__(self) -> str:
        return f"denied: {self.rule} at {self.path}"


class SubjectError(LexmeshError, ValueError):
    """A subscription is not a subject pattern: tokens between dots, `*` for one token, `>` at the end for the rest."""


class BusStoppedError(LexmeshError):
    """The bus is not running: `await bus.start()` first."""

    def __str__(self) -> str:
        return "the event bus is not running; await its start() first"


class EventDroppedError(LexmeshError):
    """The bus was full, and its overflow policy dropped an event."""

    def __str__(self) -> str:
        return "the event bus is full, and dropped the event"


class TaskError(LexmeshError):
    """A task given to the mesh was not done, or nobody knows whether it was.

    Args:
        capability: the capability that was asked for.
        reason: what went wrong, as far as is known.
        tried: the nodes that were given the task, in order.
    """

    def __init__(self, capability: str, reason: str, tried: tuple[str, ...] = ()) -> None:
        Exception.__init__(self, capability, reason, tried)
        self.capability = capability
        self.reason = reason
        self.tried = tried

    def __str__(self) -> str:
        tried = f" (tried {', '.join(self.tried)})" if self.tried else ""
        return f"task {self.capability!r}: {self.reason}{tried}"


class TaskFailedError(TaskError):
    """A task's handler raised, at each node that could be tried; the last error is told.

    Args:
        capability, reason, tried: as for TaskError; the reason is the exception's name and message.
        kind: the name of the exception's class, such as ``ValueError``.
    """

    def __init__(self, capability: str, reason: str, tried: tuple[str, ...] = (), kind: str = "") -> None:
        Exception.__init__(self, capability, reason, tried, kind)
        self.capability = capability
        self.reason = reason
        self.tried = tried
        self.kind = kind


class TaskRefusedError(TaskError):
    """A task's handler raises this to say that no node should do the task; it is not tried elsewhere.

    Args:
        reason: why; the submitter is told.
        capability, tried: filled in for the submitter.
    """

    def __init__(self, reason: str, capability: str = "", tried: tuple[str, ...] = ()) -> None:
        Exception.__init__(self, reason, capability, tried)
        self.capability = capability
        self.reason = reason
        self.tried = tried

    def __str__(self) -> str:
        return super().__str__() if self.capability else self.reason


class NoNodeError(TaskError):
    """No node that is there takes such tasks."""


class TaskTimeoutError(TaskError, TimeoutError):
    """No result of a task came within the time asked for; a node may have done it all the same."""


class TransportError(LexmeshError):
    """A connection or a listener failed."""


class ConnectError(TransportError, ConnectionError):
    """There is nothing at the address to connect to.

    Args:
        url: where to; must not contain a secret.
        reason: ``no such host``, ``connection refused``, …
    """

    def __init__(self, url: str, reason: str) -> None:
        # Past OSError's constructor, which takes two arguments for errno and strerror.
        Exception.__init__(self, url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot connect to {self.url}: {self.reason}"


class PortInUseError(TransportError, OSError):
    """The address to listen on is taken by another process.

    Args:
        host: address as configured.
        port: TCP port.
    """

    def __init__(self, host: str, port: int) -> None:
        Exception.__init__(self, host, port)
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return f"port {self.port} on {self.host} is in use: stop its owner, or choose another port (0 = any free one)"


class HandshakeError(TransportError):
    """The peer answered, but is no gateway, or does not want to be this client's.

    Args:
        url: where to; must not contain a secret.
        reason: what the peer answered, or what was missing from it.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        kind = "gRPC" if self.url.startswith("grpc") else "WebSocket"
        return f"no {kind} gateway at {self.url}: {self.reason}"


class DisconnectedError(TransportError, ConnectionError):
    """The connection is gone, and what was asked for needs one.

    Args:
        code: WebSocket close code; 1006 when the peer vanished without one (RFC 6455, 7.1.5).
        reason: the peer's reason, or ours.
    """

    def __init__(self, code: int = 1006, reason: str = "connection lost") -> None:
        Exception.__init__(self, code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"disconnected ({self.code}): {self.reason or 'no reason given'}"


class NotConnectedError(DisconnectedError):
    """There is no connection: `connect` was not called, or `disconnect` was, or a reconnect is under way."""

    def __str__(self) -> str:
        return "not connected: call connect() first, or wait for the reconnect"


class OverflowDisconnectError(DisconnectedError):
    """The gateway closed the connection with 4008, because this side did not read fast enough."""

    def __init__(self, code: int = 4008, reason: str = "read too slowly") -> None:
        super().__init__(code, reason)

    def __str__(self) -> str:
        return f"{super().__str__()}; read faster, or choose another overflow policy on the gateway"


class RequestTimeoutError(TransportError, TimeoutError):
    """No reply came within the time asked for; the request may still have been handled.

    Args:
        what: what was waited for.
        seconds: how long.
    """

    def __init__(self, what: str, seconds: float) -> None:
        Exception.__init__(self, what, seconds)
        self.what = what
        self.seconds = seconds

    def __str__(self) -> str:
        return f"no answer to {self.what} within {self.seconds:g} s"
