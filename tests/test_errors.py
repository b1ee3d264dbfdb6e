"""The error tree: what each error is, says, and keeps when it is pickled."""

import pickle

import pytest

from lexmesh import errors

CASES = [
    (
        errors.ConfigError("websocket_port", "99999", "too large", "mesh.toml:3"),
        "mesh.toml:3: websocket_port = 99999: too large",
    ),
    (errors.ConfigError("colour", None, "unknown option"), "colour: unknown option"),
    (errors.ConfigError("", None, "not TOML: unclosed array", "mesh.toml:2"), "mesh.toml:2: not TOML: unclosed array"),
    (errors.PolicyError("nsr.toml", 7, "unknown key 'scoop'"), "nsr.toml:7: unknown key 'scoop'"),
    (errors.PolicyError("nsr.toml", 0, "no such file"), "nsr.toml: no such file"),
    (
        errors.PolicyError("nsr.toml", 7, "not TOML", "LEXMESH_POLICY_FILE"),
        "LEXMESH_POLICY_FILE: nsr.toml:7: not TOML",
    ),
    (errors.MalformedError("duplicate key", 12), "malformed message: duplicate key at byte 12"),
    (errors.DeniedError("marker-metadata", "metadata.note"), "denied: marker-metadata at metadata.note"),
    (errors.SubjectError("'a..b' is not a subject"), "'a..b' is not a subject"),
    (errors.BusStoppedError(), "the event bus is not running; await its start() first"),
    (errors.EventDroppedError(), "the event bus is full, and dropped the event"),
    (errors.ConnectError("ws://nowhere:1", "no such host"), "cannot connect to ws://nowhere:1: no such host"),
    (
        errors.PortInUseError("127.0.0.1", 8765),
        "port 8765 on 127.0.0.1 is in use: stop its owner, or choose another port (0 = any free one)",
    ),
    (errors.HandshakeError("ws://h:1", "HTTP 404"), "no WebSocket gateway at ws://h:1: HTTP 404"),
    (errors.DisconnectedError(1001, ""), "disconnected (1001): no reason given"),
    (errors.DisconnectedError(), "disconnected (1006): connection lost"),
    (errors.NotConnectedError(), "not connected: call connect() first, or wait for the reconnect"),
    (
        errors.OverflowDisconnectError(),
        "disconnected (4008): read too slowly; read faster, or choose another overflow policy on the gateway",
    ),
    (errors.RequestTimeoutError("climate_control", 0.5), "no answer to climate_control within 0.5 s"),
    (errors.TaskError("irrigate", "this node stops", ("a", "b")), "task 'irrigate': this node stops (tried a, b)"),
    (
        errors.TaskFailedError("irrigate", "failed at a: ValueError: dry", ("a",), "ValueError"),
        "task 'irrigate': failed at a: ValueError: dry (tried a)",
    ),
    (errors.TaskRefusedError("no water left"), "no water left"),
    (errors.TaskRefusedError("no water left", "irrigate", ("a",)), "task 'irrigate': no water left (tried a)"),
    (errors.NoNodeError("irrigate", "known are a (none)"), "task 'irrigate': known are a (none)"),
    (errors.TaskTimeoutError("irrigate", "no result within 3 s"), "task 'irrigate': no result within 3 s"),
]


@pytest.mark.parametrize(("error", "text"), CASES, ids=lambda value: type(value).__name__)
def test_message_says_what_and_where_on_one_line(error: errors.LexmeshError, text: str) -> None:
    assert str(error) == text
    assert "\n" not in text


@pytest.mark.parametrize("error", [case[0] for case in CASES], ids=lambda error: type(error).__name__)
def test_survives_pickling(error: errors.LexmeshError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_exported_error_has_a_case_and_one_root() -> None:
    covered = {type(error).__name__ for error, _ in CASES}
    assert set(errors.__all__) - covered == {"LexmeshError", "TransportError"}
    assert all(issubclass(getattr(errors, name), errors.LexmeshError) for name in errors.__all__)


def test_every_error_stands_in_the_drawn_tree() -> None:
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in errors.__all__)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.MalformedError, ValueError),
        (errors.SubjectError, ValueError),
        (errors.ConnectError, ConnectionError),
        (errors.PortInUseError, OSError),
        (errors.DisconnectedError, ConnectionError),
        (errors.RequestTimeoutError, TimeoutError),
        (errors.OverflowDisconnectError, errors.DisconnectedError),
    ],
)
def test_catchable_as_the_builtin_it_specialises(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)
