"""MeshConfig: where values come from, which are refused, and what the refusal says."""

from pathlib import Path
from typing import Any

import pytest

from lexmesh.config import MeshConfig
from lexmesh.errors import ConfigError

DEFAULTS = {
    "mesh_name": "spiral_codex_mesh",
    "host": "127.0.0.1",
    "websocket_port": 8765,
    "websocket_path": "/",
    "allowed_origins": [],
    "enable_websocket": True,
    "grpc_port": None,
    "grpc_tls_certificate": None,
    "grpc_tls_key": None,
    "grpc_tls_client_ca": None,
    "grpc_max_streams": 100,
    "grpc_keepalive": 30.0,
    "redis_url": "redis://localhost:6379",
    "redis_username": "",
    "redis_password": "",
    "enable_redis": True,
    "redis_required": False,
    "durable_seconds": 30.0,
    "durable_attempts": 5,
    "durable_max_length": 1_000_000,
    "durable_max_age": 604_800.0,
    "durable_dedup_seconds": 120.0,
    "ritual_channel": "spiral_ritual_events",
    "memory_name": None,
    "peers": [],
    "capabilities": [],
    "learned_links": 8,
    "addresses": [],
    "heartbeat_interval": 30.0,
    "sync_interval": 10.0,
    "max_recursion_depth": 42,
    "overflow": "disconnect",
    "overflow_bytes": 8 * 1024 * 1024,
    "overflow_seconds": 10.0,
    "max_message_size": 1024 * 1024,
    "max_fragments": 1024,
    "max_connections": 10_000,
    "frame_timeout": 10.0,
    "messages_per_second": 0.0,
    "message_burst": 1000,
    "policy_file": None,
    "audit_ring": 1024,
    "audit_file": None,
    "audit_file_bytes": 16 * 1024 * 1024,
    "audit_files": 4,
    "handler_concurrency": 256,
    "drain_seconds": 5.0,
}

OUT_OF_RANGE: list[tuple[str, Any]] = [
    ("node_id", ""),
    ("node_id", "two words"),
    ("node_id", "n" * 129),
    ("mesh_name", ""),
    ("host", ""),
    ("websocket_port", -1),
    ("websocket_port", 65_536),
    ("websocket_port", "eighty"),
    ("websocket_path", ""),
    ("websocket_path", "mesh"),
    ("websocket_path", "/mesh?x=1"),
    ("websocket_path", "/m\n"),
    ("allowed_origins", ["example.com"]),
    ("allowed_origins", ["https://example.com/"]),
    ("allowed_origins", ["https://example.com/path"]),
    ("allowed_origins", ["*"]),
    ("enable_websocket", "perhaps"),
    ("redis_url", "http://localhost"),
    ("redis_url", "redis://"),
    ("redis_url", "redis://host:port"),
    ("redis_url", "redis+sentinel://host"),
    ("redis_url", "redis://host?password=x"),
    ("ritual_channel", ""),
    ("peers", ["http://localhost:8765"]),
    ("peers", ["localhost:8765"]),
    ("capabilities", ["two words"]),
    ("learned_links", 257),
    ("addresses", ["localhost:8765"]),
    ("heartbeat_interval", 0),
    ("heartbeat_interval", float("nan")),
    ("sync_interval", float("inf")),
    ("max_recursion_depth", 0),
    ("overflow", "explode"),
    ("overflow_bytes", 64 * 1024 - 1),
    ("overflow_seconds", -1),
    ("max_message_size", 1023),
    ("max_message_size", 64 * 1024 * 1024 + 1),
    ("max_fragments", 0),
    ("max_connections", 0),
    ("audit_ring", -1),
    ("audit_ring", 1_000_001),
    ("audit_file_bytes", 4095),
    ("audit_files", -1),
    ("frame_timeout", 0),
    ("messages_per_second", -1),
    ("messages_per_second", float("nan")),
    ("message_burst", 0),
    ("handler_concurrency", 0),
    ("grpc_port", 65_536),
    ("grpc_max_streams", 0),
    ("grpc_keepalive", 0),
    ("drain_seconds", -0.1),
]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MeshConfig.model_fields:
        monkeypatch.delenv(f"LEXMESH_{name.upper()}", raising=False)


def written(directory: Path, text: str) -> Path:
    path = directory / "mesh.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        MeshConfig.load(path)
    return str(caught.value)


def test_defaults() -> None:
    config = MeshConfig()
    assert config.model_dump(exclude={"node_id"}) == DEFAULTS


def test_node_id_is_made_up_anew() -> None:
    assert MeshConfig().node_id != MeshConfig().node_id


def test_keyword_beats_environment_beats_file_beats_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, 'node_id = "file"\nmesh_name = "file"\nritual_channel = "file"\n')
    monkeypatch.setenv("LEXMESH_NODE_ID", "environment")
    monkeypatch.setenv("LEXMESH_MESH_NAME", "environment")
    config = MeshConfig.load(path, node_id="keyword")
    assert (config.node_id, config.mesh_name, config.ritual_channel) == ("keyword", "environment", "file")
    assert config.host == "127.0.0.1"


def test_environment_covers_every_kind_of_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEXMESH_PEERS", "ws://a:8765, grpc://b:50051")
    monkeypatch.setenv("LEXMESH_ENABLE_REDIS", "false")
    monkeypatch.setenv("LEXMESH_OVERFLOW", "drop_oldest")
    monkeypatch.setenv("LEXMESH_OVERFLOW_SECONDS", "2.5")
    config = MeshConfig()
    assert config.peers == ["ws://a:8765", "grpc://b:50051"]
    assert (config.enable_redis, config.overflow, config.overflow_seconds) == (False, "drop_oldest", 2.5)


def test_origins_from_the_environment_are_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEXMESH_ALLOWED_ORIGINS", "https://Example.com, null,http://[::1]:3000")
    assert MeshConfig().allowed_origins == ["https://example.com", "null", "http://[::1]:3000"]


def test_bad_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEXMESH_WEBSOCKET_PORT", "eighty")
    with pytest.raises(ConfigError, match=r"^LEXMESH_WEBSOCKET_PORT: websocket_port = 'eighty': ") as caught:
        MeshConfig()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("option", "value"), OUT_OF_RANGE, ids=lambda value: str(value)[:24])
def test_out_of_range_is_refused_at_construction_and_assignment(option: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        MeshConfig(**{option: value})
    assert str(caught.value).startswith(option)
    assert "\n" not in str(caught.value)
    config = MeshConfig()
    before = config.model_dump()
    with pytest.raises(ConfigError):
        setattr(config, option, value)
    assert config.model_dump() == before


@pytest.mark.parametrize(
    ("option", "lowest", "highest"),
    [
        ("websocket_port", 0, 65_535),
        ("max_message_size", 1024, 64 * 1024 * 1024),
        ("max_recursion_depth", 1, 65_535),
        ("drain_seconds", 0, 3600),
    ],
)
def test_bounds_themselves_are_allowed(option: str, lowest: int, highest: int) -> None:
    for value in (lowest, highest):
        assert getattr(MeshConfig(**{option: value}), option) == value


def test_mutable_after_construction() -> None:
    config = MeshConfig()
    config.websocket_port = 8766
    config.heartbeat_interval = 10.0
    assert (config.websocket_port, config.heartbeat_interval) == (8766, 10.0)


def test_unknown_option_is_refused_and_the_nearest_one_named() -> None:
    with pytest.raises(ConfigError, match=r"^websocket_prt: unknown option; did you mean websocket_port\?$"):
        MeshConfig(**{"websocket_prt": 1})
    with pytest.raises(ConfigError, match=r"^websocket_prt: unknown option"):
        setattr(MeshConfig(), "websocket_prt", 1)  # noqa: B010


def test_bad_toml_names_file_and_line(tmp_path: Path) -> None:
    path = written(tmp_path, 'host = "127.0.0.1"\nwebsocket_port = = 3\n')
    assert refusal(path).startswith(f"{path}:2: not TOML: ")


def test_toml_that_ends_too_early_names_the_last_line(tmp_path: Path) -> None:
    path = written(tmp_path, 'host = "127.0.0.1"\n\npeers = [\n')
    assert refusal(path).startswith(f"{path}:3: not TOML: ")


def test_bad_value_in_toml_names_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, '# websocket_port = 1\nhost = "::1"\n  websocket_port = 70000\n')
    assert refusal(path).startswith(f"{path}:3: websocket_port = 70000: ")


def test_unknown_option_and_table_in_toml_name_their_line(tmp_path: Path) -> None:
    path = written(tmp_path, 'host = "::1"\ncolour = "red"\n')
    assert refusal(path) == f"{path}:2: colour: unknown option"
    path = written(tmp_path, 'host = "::1"\n\n[gateway]\nwebsocket_port = 1\n')
    assert refusal(path) == f"{path}:3: gateway: unknown option"


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").write_text("websocket_port = 9000\n", "utf-8-sig")
    assert MeshConfig.load(tmp_path / "mesh.toml").websocket_port == 9000


def test_file_that_is_missing_or_not_utf8(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert refusal(missing) == f"{missing}: no such file or directory"
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'host = "\xe9"\n')
    assert refusal(latin) == f"{latin}: not UTF-8 at byte 8; TOML is"


def test_files_are_relative_to_the_config_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'policy_file = "rules/nsr.toml"\naudit_file = "audit.ndjson"\n')
    assert MeshConfig.load(path).policy_file == tmp_path / "rules/nsr.toml"
    assert MeshConfig.load(path).audit_file == tmp_path / "audit.ndjson"
    assert MeshConfig(policy_file="nsr.toml").policy_file == Path("nsr.toml")


def test_each_option_knows_where_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, 'node_id = "file"\npolicy_file = "a.toml"\naudit_file = "b"\nhost = "127.0.0.1"\n')
    monkeypatch.setenv("LEXMESH_NODE_ID", "environment")
    config = MeshConfig.load(path, audit_file="c")
    options = ("node_id", "policy_file", "audit_file", "websocket_port")
    assert [config.source_of(option) for option in options] == ["LEXMESH_NODE_ID", f"{path}:2", "", ""]
    config.host = "127.0.0.2"
    config.came_from({"audit_file": "--audit-file"})
    assert (config.source_of("host"), config.source_of("audit_file")) == ("", "--audit-file")


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:hunter2@host:6379/0",
        "redis://:hunter2@host:6379",
        "redis://:h@hunter2@host",
        "redis+sentinel://host/service?sentinel_password=hunter2&db=1",
        "redis+sentinel://host/service?sentinel_username=hunter2",
    ],
)
def test_passwords_never_show(url: str) -> None:
    config = MeshConfig(redis_url=url, peers=[f"ws{url[url.index('://') :]}"])
    assert "hunter2" not in repr(config) + str(config)
    assert "host" in repr(config)
    assert config.redis_url == url
    unescaped = "redis://:hun/hunter2@host"
    for wrong in (
        url.replace("redis", "http"),
        url.replace("://", ":/"),
        unescaped,
        f"{url}?pass=hunter2&passwrd=hunter2",
    ):
        with pytest.raises(ConfigError) as caught:
            MeshConfig(redis_url=wrong)
        assert "hunter2" not in str(caught.value) + repr(caught.value)
    with pytest.raises(ConfigError) as caught:
        MeshConfig(peers=[url])
    assert "hunter2" not in str(caught.value) + repr(caught.value)


def test_a_password_of_its_own_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEXMESH_REDIS_USERNAME", "hunter1")
    monkeypatch.setenv("LEXMESH_REDIS_PASSWORD", "hunter2")
    config = MeshConfig()
    assert (config.redis_username, config.redis_password) == ("hunter1", "hunter2")
    assert "hunter" not in repr(config) + str(config)
    with pytest.raises(ConfigError) as caught:
        MeshConfig(redis_password="hunter2" * 1000)
    assert "hunter" not in str(caught.value) + repr(caught.value)
