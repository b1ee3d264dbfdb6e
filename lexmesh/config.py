"""Settings of a node: keywords > environment (``LEXMESH_…``) > TOML file > defaults, checked on every change.

::

    MeshConfig(websocket_port=9000)                 # keywords, environment, defaults
    MeshConfig.load("mesh.toml", node_id="edge-1")  # the same, with a file below the environment
    config.websocket_port = 8766                    # checked again; a bad value raises and changes nothing

The file is flat: one option a line, named as the fields below. An unknown option is refused, in a keyword and in the
file alike. (Unknown ``LEXMESH_…`` variables are not: builds and tests keep switches of their own there.)
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict

from .config_values import Name, Origin, PeerUrl, RedisUrl, Seconds, shown, split_list
from .errors import ConfigError
from .settings_file import read_settings

__all__ = ["MeshConfig", "Overflow"]

Overflow = Literal["disconnect", "drop_oldest", "drop_newest", "block"]

KIB, MIB = 1024, 1024 * 1024
ENV_PREFIX = "LEXMESH_"

# Options that name a file, relative to the config file that names it.
_FILE_OPTIONS = ("policy_file", "audit_file", "grpc_tls_certificate", "grpc_tls_key", "grpc_tls_client_ca")


class MeshConfig(BaseSettings):
    """Settings of a node; every field is also a keyword, a TOML key and ``LEXMESH_<FIELD>``.

    Raises:
        ConfigError: an unknown option or a value out of range, at construction or assignment.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, extra="forbid", validate_assignment=True, hide_input_in_errors=True
    )

    # Name of this node in the mesh, the `source_node` of what it sends; 1–128 characters (255 bytes at most), no spaces
    # or control characters. Made up anew (`node_` and 8 hex digits) at each start when left out: name a node whose
    # history or routes matter.
    node_id: Name = Field(default_factory=lambda: f"node_{secrets.token_hex(4)}")

    # Which mesh this node belongs to, default "spiral_codex_mesh". Meshes of different names ignore each other, even on
    # one Redis.
    mesh_name: Name = "spiral_codex_mesh"

    # Address to listen on, default "127.0.0.1": this machine only. "0.0.0.0" opens the gateway to the network; put TLS
    # and authentication in front of it first.
    host: str = Field(default="127.0.0.1", min_length=1)

    # TCP port of the WebSocket gateway, and of /health and /metrics; default 8765. 0 takes any free port.
    websocket_port: int = Field(default=8765, ge=0, le=65_535)

    # Path of WebSocket upgrades, default "/"; any other path gets 404. Pages over plain HTTP, such as /health, keep
    # theirs.
    websocket_path: str = Field(default="/", pattern=r"^/[\w.~!$&'()*+,;=:@%/-]*$", max_length=1024)

    # Web pages whose scripts may connect, as browsers name them: "https://example.com", with the port unless it is the
    # scheme's own, "null" for pages without one; default none: all. Others get 403. Clients that are no browsers send
    # no Origin and are let in: this guards a browser's user and authenticates nobody. In the environment: separated by
    # commas.
    allowed_origins: Annotated[list[Origin], NoDecode, BeforeValidator(split_list)] = Field(default_factory=list)

    # Listen for WebSocket clients, default true. A node without it has no HTTP pages either, and links to others over
    # gRPC, in memory, or by dialling only.
    enable_websocket: bool = True

    # TCP port of the gRPC service, default None: `lexmesh mesh start` offers none, a GrpcServer takes 50051, gRPC's
    # customary port. 0 takes any free port.
    grpc_port: int | None = Field(default=None, ge=0, le=65_535)

    # Certificate chain of the gRPC service (PEM), default None: no TLS. Needs grpc_tls_key. In a config file, relative
    # to that file.
    grpc_tls_certificate: Path | None = None

    # Its private key (PEM), without a passphrase; default None. Keep it readable for the gateway's user alone.
    grpc_tls_key: Path | None = None

    # Certificates (PEM) of who may have signed a client's; default None: clients need none. With it, clients without a
    # certificate signed by one of them are turned away (mutual TLS).
    grpc_tls_client_ca: Path | None = None

    # Calls that one gRPC connection may have open at a time, default 100 (1–100000); more wait at the client (HTTP/2
    # SETTINGS_MAX_CONCURRENT_STREAMS). Each may hold one message of max_message_size.
    grpc_max_streams: int = Field(default=100, ge=1, le=100_000)

    # Seconds between keepalive pings to a silent gRPC client, default 30; one that answers none for 10 s is cut.
    # Shorter finds vanished clients sooner, and costs each client a packet.
    grpc_keepalive: Seconds = 30.0

    # Where Redis is, default "redis://localhost:6379"; the README has all forms. A password in it is never shown.
    redis_url: RedisUrl = "redis://localhost:6379"

    # Redis' user (ACL) and password, default none; what redis_url says wins. Never shown. Meant for the environment,
    # LEXMESH_REDIS_PASSWORD: a URL on the command line is seen by all users of the machine.
    redis_username: str = Field(default="", max_length=1024)
    redis_password: str = Field(default="", max_length=4096)

    # Use Redis between nodes, default true; a mesh of directly linked nodes (`peers`) does not need it.
    enable_redis: bool = True
    # Must a node not start without Redis? Default false: it says so once, and joins when Redis is there.
    redis_required: bool = False

    # Seconds that a handler of a durable group may take, default 30. What a node has been given and left for twice as
    # long another one takes over; longer jobs need more, a lost node's work is found later then.
    durable_seconds: float = Field(default=30.0, ge=0.1, le=86_400, allow_inf_nan=False)
    # How often it is tried before it is given up, default 5 (1–1000); see `lexmesh durable dead`.
    durable_attempts: int = Field(default=5, ge=1, le=1000)
    # Events that wait in one durable subject's stream at most, default 1000000; then the oldest go, and are counted.
    durable_max_length: int = Field(default=1_000_000, ge=1, le=1_000_000_000)
    # Seconds that they may wait at most, default 604800: a week.
    durable_max_age: float = Field(default=604_800.0, ge=1, le=315_360_000, allow_inf_nan=False)
    # Seconds within which an event that is stored twice is found to be so, default 120. Each takes some 100 bytes of
    # Redis' memory for twice to three times as long.
    durable_dedup_seconds: float = Field(default=120.0, ge=1, le=86_400, allow_inf_nan=False)

    # Redis channel for ritual events, default "spiral_ritual_events".
    ritual_channel: str = Field(default="spiral_ritual_events", min_length=1, max_length=256)

    # Name under which nodes of the same process link to this one, as memory://name; default None: they cannot. For
    # tests, and for several nodes in one program: no socket is opened.
    memory_name: Name | None = None

    # Nodes to link to directly, ws://, wss://, grpc://, grpcs:// or memory://; default none. One live peer is enough,
    # the rest is learned from it; two or three survive the loss of one. In the environment: separated by commas.
    peers: Annotated[list[PeerUrl], NoDecode, BeforeValidator(split_list)] = Field(default_factory=list)

    # Tasks that this node takes, default none; other nodes find it by them. In the environment: separated by commas.
    capabilities: Annotated[list[Name], NoDecode, BeforeValidator(split_list)] = Field(default_factory=list)

    # Nodes that this one links to by itself, beyond `peers`, as it learns of them; default 8 (0–256). A mesh has some
    # nodes × learned_links links, each with its share of all broadcasts; 0 keeps to what `peers` says.
    learned_links: int = Field(default=8, ge=0, le=256)

    # URLs under which other nodes reach this one, of the same schemes; default none: host and ports, or,
    # where it listens on all addresses, the one that a peer has seen. In the environment: separated by commas.
    addresses: Annotated[list[PeerUrl], NoDecode, BeforeValidator(split_list)] = Field(default_factory=list)

    # Seconds between two heartbeats, default 30. A lost node is suspected after some three to four of them; each node
    # sends 1/heartbeat_interval messages a second to each peer. Shorter finds losses sooner and costs more.
    heartbeat_interval: Seconds = 30.0

    # Seconds between two rounds of state anti-entropy, default 10. Deltas go out at once; this only bounds how long a
    # lost delta stays unnoticed: at most sync_interval, one digest per category and round.
    sync_interval: Seconds = 10.0

    # Most hops and causes behind one message, default 42 (1–65535). A message with a greater depth is refused and
    # counted as looped: longer chains of nodes or handlers need more, a loop costs this many messages before it ends.
    max_recursion_depth: int = Field(default=42, ge=1, le=65_535)

    # What happens to a client that reads too slowly; default "disconnect" (close code 4008). "drop_oldest" and
    # "drop_newest" keep it and lose messages (counted); "block" loses none, but a slow reader slows its publishers.
    overflow: Overflow = "disconnect"

    # Bytes that may wait for one client before `overflow` acts; default 8 MiB (64 KiB – 4 GiB), and sensibly more than
    # max_message_size. Worst memory = max_connections × overflow_bytes; larger rides out longer stalls.
    overflow_bytes: int = Field(default=8 * MIB, ge=64 * KIB, le=4096 * MIB)

    # Seconds that a client may leave bytes unread before `overflow` acts, and that a gRPC link whose stream broke is
    # kept for its peer to come back; default 10. Shorter frees memory sooner, longer forgives a laptop that sleeps.
    overflow_seconds: Seconds = 10.0

    # Largest message in bytes, default 1 MiB (1 KiB – 64 MiB); larger ones are refused with close code 1009. One
    # connection may hold this much of a half-received message; scanning takes time in proportion to it.
    max_message_size: int = Field(default=MIB, ge=KIB, le=64 * MIB)

    # Most WebSocket frames that one message may come in, empty ones included; default 1024 (1–1000000). A bound on the
    # work that a client causes without ever finishing a message.
    max_fragments: int = Field(default=1024, ge=1, le=1_000_000)

    # Most clients at a time, default 10000 (1–1000000); more are turned away with HTTP 503. The process needs about one
    # file descriptor each: see `ulimit -n`.
    max_connections: int = Field(default=10_000, ge=1, le=1_000_000)

    # Seconds that one WebSocket frame may take from its first byte to its last, default 10. A sender needs at least
    # max_message_size / frame_timeout bytes a second, about 105 KB/s as both stand; slower lines need more time. Longer
    # keeps half-sent frames, up to max_connections × max_message_size of memory, for longer.
    frame_timeout: Seconds = 10.0

    # Frames, and events in batches, that each client may send a second; default 0: as many as it can. One that sends
    # more is not refused but read from more slowly, so that it waits in its own `flush`.
    messages_per_second: float = Field(default=0.0, ge=0, le=1e9, allow_inf_nan=False)

    # How many of them may come at once before messages_per_second tells, default 1000 (1–1000000000). A burst of
    # n messages then takes (n - message_burst) / messages_per_second seconds.
    message_burst: int = Field(default=1000, ge=1, le=1_000_000_000)

    # Consent policy (TOML), default None: the one that ships with lexmesh. Clients and servers alike police with it
    # what they send and what they get. A regular file of at most 4 MiB. In a config file, relative to that file.
    # A gateway reads it again at SIGHUP.
    policy_file: Path | None = None

    # Records of refused and flagged messages that stay in memory, default 1024 (0–1000000), about 1 KB each; the
    # oldest go first. For looking at what just happened: what must be kept goes to `audit_file`.
    audit_ring: int = Field(default=1024, ge=0, le=1_000_000)

    # File that a gateway appends those records to, one JSON object a line, default None: nowhere. One node, one file.
    # Never the text of a message, but names, subjects and addresses of peers. In a config file, relative to that file.
    # A gateway does not start if it cannot be written to; a disk that fails later stops nothing.
    audit_file: Path | None = None

    # Bytes at which that file is rotated, default 16 MiB (4 KiB – 4 GiB). Most disk used = (audit_files + 1) times
    # this; at about 300 bytes a record the default holds some 50000 of them a file.
    audit_file_bytes: int = Field(default=16 * MIB, ge=4 * KIB, le=4096 * MIB)

    # Rotated files to keep beside it, default 4 (0–1000): `.1` is the latest, the oldest is deleted.
    audit_files: int = Field(default=4, ge=0, le=1000)

    # Most async handler calls at a time, default 256 (1–100000); further messages wait in order. More hides slow
    # handlers longer and holds that many messages in memory.
    handler_concurrency: int = Field(default=256, ge=1, le=100_000)

    # Most seconds that a stop takes, default 5 (0–3600). Handlers and unsent bytes have three quarters of it, what is
    # left then is dropped and counted; the rest is for close handshakes.
    drain_seconds: float = Field(default=5.0, ge=0, le=3600, allow_inf_nan=False)

    # Where options came from that neither a keyword nor an assignment set, by name.
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    # Hidden from type checkers, which take the keywords from the fields.
    if not TYPE_CHECKING:

        def __init__(self, **options: Any) -> None:
            sources = _environment_names(options)
            try:
                super().__init__(**options)
            except ValidationError as error:
                raise _config_error(error, sources) from None
            self._sources = sources

        def __setattr__(self, name: str, value: Any) -> None:
            try:
                super().__setattr__(name, value)
            except ValidationError as error:
                raise _config_error(error, {}) from None
            if name in type(self).model_fields:
                self._sources.pop(name, None)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Reads a TOML file, under what the environment and the keywords say.

        Args:
            path: the file; flat, one option a line.
            options: as for the class itself; they win over the environment and the file.

        Returns:
            The settings.

        Raises:
            ConfigError: the file cannot be read or parsed, or an option in it is unknown or bad; with file and line.
        """
        text = _read(path)
        from_file = _parse(path, text)
        for option in _FILE_OPTIONS:
            if isinstance(file := from_file.get(option), str):
                from_file[option] = Path(path).parent / file
        overridden = EnvSettingsSource(cls)().keys() | options.keys()
        kept = {key: value for key, value in from_file.items() if key not in overridden}
        try:
            config = cls(**kept, **options)
        except ConfigError as error:
            if error.source or error.option.partition(".")[0] not in kept:
                raise
            raise ConfigError(error.option, error.value, error.reason, _place_of(path, text, error.option)) from None
        config.came_from({option: _place_of(path, text, option) for option in kept})
        return config

    def came_from(self, sources: Mapping[str, str]) -> None:
        """Notes where options came from, for the errors that are about them.

        Args:
            sources: by option, what the user wrote it in: ``mesh.toml:3``, ``--policy``.
        """
        self._sources.update(sources)

    def source_of(self, option: str) -> str:
        """Where an option came from.

        Args:
            option: its name.

        Returns:
            ``mesh.toml:3``, ``LEXMESH_POLICY_FILE``, or what `came_from` was told; empty for a keyword, an assignment
            or a default.
        """
        return self._sources.get(option, "")

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name in type(self).model_fields:
            yield name, _Verbatim(shown(name, getattr(self, name)))


class _Verbatim(str):
    """Text that is its own repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _config_error(error: ValidationError, sources: dict[str, str]) -> ConfigError:
    """The first finding as one line; pydantic's own text spans several and shows values."""
    first = error.errors(include_url=False, include_context=False)[0]
    option = ".".join(str(part) for part in first["loc"]) or "configuration"
    name = option.partition(".")[0]
    if first["type"] in ("extra_forbidden", "no_such_attribute"):
        return ConfigError(option, None, f"unknown option{_suggestion(name)}", sources.get(name, ""))
    reason = first["msg"].removeprefix("Value error, ")
    return ConfigError(option, shown(name, first["input"]), reason[:1].lower() + reason[1:], sources.get(name, ""))


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, MeshConfig.model_fields, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _environment_names(options: dict[str, Any]) -> dict[str, str]:
    """Which options the environment set, by the name of the variable."""
    return {name: ENV_PREFIX + name.upper() for name in EnvSettingsSource(MeshConfig)() if name not in options}


def _read(path: str | os.PathLike[str]) -> str:
    try:
        return read_settings(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError("", None, reason[:1].lower() + reason[1:], os.fspath(path)) from None
    except UnicodeDecodeError as error:
        raise ConfigError("", None, f"not UTF-8 at byte {error.start}; TOML is", os.fspath(path)) from None


def _parse(path: str | os.PathLike[str], text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Until Python 3.14 the line is only in the text: "… (at line 3, column 7)" or "… (at end of document)".
        reason, _, place = str(error).rpartition(" (at ")
        found = re.match(r"line (\d+), column (\d+)", place)
        line = int(found[1]) if found else text.rstrip().count("\n") + 1
        reason = f"not TOML: {reason[:1].lower()}{reason[1:]}"
        raise ConfigError("", None, reason, f"{os.fspath(path)}:{line}") from None
    except RecursionError:
        raise ConfigError("", None, "not TOML that can be read: nested too deeply", os.fspath(path)) from None


def _place_of(path: str | os.PathLike[str], text: str, option: str) -> str:
    """Where a file sets an option, as `mesh.toml:3`."""
    return f"{os.fspath(path)}:{_line_of(text, option)}"


def _line_of(text: str, option: str) -> int:
    key = re.escape(option.partition(".")[0])
    found = re.search(rf"^[ \t]*(?:\[+[ \t]*)?[\"']?{key}[\"']?[ \t]*[=.\]]", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1
