"""Where Redis is, read from a URL; what is shown of one never holds its password."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["REDIS_PORT", "SCHEMES", "SENTINEL_PORT", "RedisAddress"]

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")

REDIS_PORT = 6379
SENTINEL_PORT = 26379

_FORMS = (
    "give redis://host:port/0, rediss://host:port/0, unix:///path/to.sock, "
    "redis+sentinel://host:port,host:port/service or redis+cluster://host:port,host:port"
)

Kind = Literal["server", "unix", "sentinel", "cluster"]


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What a Redis URL says.

    Args:
        kind: one server over TCP, one over a Unix socket, those that sentinels name, or a cluster.
        hosts: host and port of the server, of the sentinels, or of some of the cluster's nodes.
        path: of a Unix socket.
        service: what sentinels call the servers.
        database: its number.
        username, password: empty for none.
        tls: whether connections are encrypted.
        ca: file (PEM) with those who may have signed the server's certificate; empty for those that the system trusts.
        sentinel_username, sentinel_password: for the sentinels themselves; empty for none.
    """

    kind: Kind
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    database: int = 0
    username: str = ""
    password: str = ""
    tls: bool = False
    ca: str = ""
    sentinel_username: str = ""
    sentinel_password: str = ""

    def __repr__(self) -> str:
        return f"RedisAddress({self.shown!r})"

    @property
    def shown(self) -> str:
        """The URL for people, without user and password."""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        if self.kind == "unix":
            return f"unix://{self.path}"
        if self.kind == "sentinel":
            return f"redis+sentinel://{hosts}/{self.service}"
        if self.kind == "cluster":
            return f"redis+cluster://{hosts}"
        return f"{'rediss' if self.tls else 'redis'}://{hosts}/{self.database}"

    @classmethod
    def of(cls, url: str, username: str = "", password: str = "") -> RedisAddress:
        """Reads a URL.

        Args:
            url: of one of SCHEMES; `?db=` and `?tls=true` where the form has no other place for them, `?ca=` with TLS,
                `?sentinel_password=` and `?sentinel_username=` for sentinels.
            username, password: for a URL that has none.

        Raises:
            ValueError: if it is no such URL; what it says never repeats the URL, which may hold a password.
        """
        scheme, separator, _ = url.partition("://")
        if not separator or scheme not in SCHEMES:
            raise ValueError(f"not a Redis URL: it has another scheme; {_FORMS}")
        try:
            found = _read(url, scheme)
        except ValueError as error:
            raise ValueError(f"not a Redis URL: {error}; {_FORMS}") from None
        return replace(found, username=found.username or username, password=found.password or password)


def _read(url: str, scheme: str) -> RedisAddress:
    # urlsplit knows one host only: a list of them is taken apart here
    rest, _, query = url.partition("://")[2].partition("?")
    authority, slash, tail = rest.partition("/")
    user_info, _, places = authority.rpartition("@")
    username, _, password = user_info.partition(":")
    options = dict(parse_qsl(query, keep_blank_values=True))
    path = unquote(tail)
    secrets = unquote(username), unquote(password)
    database = _number("database", options.pop("db", ""), 0)
    tls = scheme == "rediss" or options.pop("tls", "false") == "true"
    ca = options.pop("ca", "")
    asking = options.pop("sentinel_username", ""), options.pop("sentinel_password", "")
    if options:
        raise ValueError(
            "it has an option that none has; there are db, tls, ca, sentinel_username and sentinel_password"
        )
    if any(asking) and scheme != "redis+sentinel":
        raise ValueError("only redis+sentinel:// has a sentinel_password")
    if ca and not tls:
        raise ValueError("ca is for connections with TLS: rediss:// or ?tls=true")
    if scheme == "unix":
        return _unix(f"{slash}{path}", places, database, secrets)
    default = SENTINEL_PORT if scheme == "redis+sentinel" else REDIS_PORT
    hosts = tuple(_host(place, default) for place in places.split(","))
    if scheme == "redis+sentinel":
        service, _, number = path.partition("/")
        if not service:
            raise ValueError("it names no service: redis+sentinel://host:port/service")
        database = _number("database", number, database)
        return RedisAddress("sentinel", hosts, "", service, database, *secrets, tls, ca, *asking)
    if scheme == "redis+cluster":
        if path or database:
            raise ValueError("a cluster has no databases")
        return RedisAddress("cluster", hosts, "", "", 0, *secrets, tls, ca)
    if len(hosts) > 1:
        raise ValueError("it names several hosts, which only redis+sentinel:// and redis+cluster:// do")
    return RedisAddress("server", hosts, "", "", _number("database", path, database), *secrets, tls, ca)


def _unix(path: str, places: str, database: int, secrets: tuple[str, str]) -> RedisAddress:
    if places or len(path) < 2:
        raise ValueError("a Unix socket has a path and no host: unix:///path/to.sock")
    return RedisAddress("unix", (), path, "", database, *secrets)


def _host(place: str, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{place}")
        host, port = parts.hostname, parts.port
    except ValueError:  # whose text repeats what may be a part of a password
        raise ValueError(
            "its port is no number from 1 to 65535; / and @ in a password are written %2F and %40"
        ) from None
    if not host or parts.path or parts.query:
        raise ValueError("it names no host")
    return host, port or default


def _number(what: str, text: str, default: int) -> int:
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise ValueError(f"its {what} is no number from 0 to 65535")
    return int(text)
