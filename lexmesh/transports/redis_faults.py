"""Why Redis does not serve, in one line with what to do about it; none holds a password."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    InvalidResponse,
    MaxConnectionsError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

__all__ = ["GONE", "NO_ANSWER", "NoCertificatesError", "SentinelsRefuseError", "SlotMovedError", "explained"]

GONE = (RedisError, OSError, TimeoutError)
"""What a connection may end with."""


class SlotMovedError(RedisConnectionError):
    """A server of a cluster has ended subscriptions, since it has their slot no more."""


class NoCertificatesError(OSError):
    """A file that is to say whom to trust cannot be read."""


class SentinelsRefuseError(RedisConnectionError):
    """No sentinel names a master, and some would first have a password, or another one."""


NO_ANSWER = "no answer in time"

MOST_QUOTED = 160
"""Characters of what a server says that are repeated."""

_NO_REDIS = "what answers there is no Redis; correct the host and port of redis_url"
_CREDENTIALS = "it refuses the user or the password; correct them in redis_url, or LEXMESH_REDIS_USERNAME and _PASSWORD"

_REASONS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((SentinelsRefuseError,), "the sentinels refuse the password; set ?sentinel_password= in redis_url"),
    ((AuthenticationError, AuthorizationError), _CREDENTIALS),
    ((BusyLoadingError,), "it is still loading its data"),
    ((MovedError, SlotMovedError), "another server of the cluster has the mesh's slot now"),
    ((ReadOnlyError,), "it is a replica; name its master in redis_url, or sentinels"),
    ((MaxConnectionsError,), "it has too many clients; raise its maxclients"),
    ((OutOfMemoryError,), "it has reached its maxmemory"),
    ((MasterNotFoundError,), "the sentinels name no master that is up; is the service's name in redis_url right?"),
    ((InvalidResponse,), _NO_REDIS),
    ((socket.gaierror,), "no such host"),
    ((ConnectionRefusedError,), "connection refused"),
    ((FileNotFoundError,), "no such socket"),
    ((PermissionError,), "this user may not use its socket"),
    ((TimeoutError, RedisTimeoutError), NO_ANSWER),
    ((ConnectionResetError, BrokenPipeError), "the connection was lost"),
)


def explained(error: BaseException) -> str:
    """One clear line for what redis-py raised.

    Args:
        error: it, or a group of such; the innermost that is known tells.
    """
    chain = list(_chain(error))
    return _of_known(chain) or _of_text(chain) or _plain(chain[0])


def _of_known(chain: list[BaseException]) -> str:
    """What the kind of an error says by itself; empty for nothing."""
    for one in chain:
        if isinstance(one, NoCertificatesError):
            reason = (one.strerror or "unreadable").lower()
            return f"{one.filename}: {reason}; ?ca= in redis_url names a file with certificates (PEM)"
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {one.verify_message}; name the CA as ?ca=FILE in redis_url"
        if isinstance(one, ssl.SSLError):
            return "the TLS handshake failed; does it speak TLS? else use redis://"
        if isinstance(one, NoPermissionError):
            return f"its user may not do that ({_quoted(one)}); let it use the mesh's channels and keys (ACL SETUSER)"
    if any("WRONGPASS" in str(one) or "NOAUTH" in str(one) for one in chain):
        return _CREDENTIALS
    return next((reason for kinds, reason in _REASONS if any(isinstance(one, kinds) for one in chain)), "")


def _of_text(chain: list[BaseException]) -> str:
    """What only the text of an error says."""
    texts = " ".join(map(str, chain)).lower()
    if "cluster mode is not enabled" in texts:
        return "it is no cluster; use redis://"
    if "protocol error" in texts:
        return _NO_REDIS
    if "closed by server" in texts:
        return "the connection was lost"
    return _quoted(chain[0]) if isinstance(chain[0], ResponseError) else ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what caused it; the first of a group."""
    seen = 0
    while error is not None and seen < 16:
        seen += 1
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
            continue
        yield error
        error = error.__cause__ or error.__context__


def _plain(error: BaseException) -> str:
    return f"{type(error).__name__} {_quoted(error)}".rstrip()


def _quoted(error: BaseException) -> str:
    """What the server says, as far as it is fit to be shown."""
    text = str(error).strip().partition("\n")[0][:MOST_QUOTED].rstrip(".")
    return text if text.isprintable() else type(error).__name__
