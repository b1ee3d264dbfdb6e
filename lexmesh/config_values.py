"""What values options of a node may have, and how they are shown."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from .node_names import check_name
from .redis_address import RedisAddress

__all__ = ["Name", "Origin", "PeerUrl", "RedisUrl", "Seconds", "shown", "split_list"]

# Options whose value is a URL or a list of them, and so may hold a password.
_URL_OPTIONS = frozenset({"redis_url", "peers", "addresses"})
# Options that are secrets, whole.
_SECRET_OPTIONS = frozenset({"redis_username", "redis_password"})
_PEER_SCHEMES = ("ws", "wss", "grpc", "grpcs", "memory")
# Everything before the last @: a password may itself hold any of : / @ unescaped, which is a likely mistake to report.
_USER_INFO = re.compile(r"^(\w[\w+.-]*:/{0,2})?.*@", re.DOTALL)
_PASSWORD_QUERY = re.compile(r"([?&][^=&#]*(?:pass|pwd|user|secret|token|auth|key)[^=&#]*=)[^&#]*", re.IGNORECASE)


def shown(option: str, value: object) -> str:
    """A value as text for messages and repr, without passwords."""
    if option in _SECRET_OPTIONS and value:
        return "'***'"
    return repr(_mask(value) if option in _URL_OPTIONS else value)


def _mask(value: object) -> object:
    if isinstance(value, list):
        return [_mask(part) for part in value]
    if not isinstance(value, str):
        return value
    return _PASSWORD_QUERY.sub(r"\1***", _USER_INFO.sub(r"\1***@", value))


def _check_url(url: str, schemes: tuple[str, ...]) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in schemes or not rest.strip("/"):
        begins = " or ".join(f"{name}://" for name in schemes)
        raise ValueError(f"must be a URL that begins with {begins} and names a host")
    return url


def _check_redis_url(url: str) -> str:
    RedisAddress.of(url)
    return url


def split_list(value: object) -> object:
    """A list of texts as the environment has it, between commas."""
    # The environment has no lists: LEXMESH_PEERS=ws://a:8765,ws://b:8765
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _check_origin(origin: str) -> str:
    # An origin as browsers serialise it: RFC 6454, section 6.2.
    if origin != "null" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+", origin, re.IGNORECASE):
        raise ValueError("must be an origin such as https://example.com or https://example.com:8443, without a path")
    return origin.lower()


Name = Annotated[str, AfterValidator(check_name)]
Origin = Annotated[str, AfterValidator(_check_origin)]
RedisUrl = Annotated[str, AfterValidator(_check_redis_url)]
PeerUrl = Annotated[str, AfterValidator(lambda url: _check_url(url, _PEER_SCHEMES))]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
