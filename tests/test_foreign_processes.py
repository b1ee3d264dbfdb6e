"""Clients that no one here wrote against the gateway's process: `websockets`, aiohttp, Node's `ws` and Chromium."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import browser
import pytest
from browser import Chromium, Page
from cli_process import PATIENCE, Gateway, gateway
from foreign_clients import FOREIGN, Client, Conversation, JsonWire, Program, ProtoWire, Wire, where
from requirements import absent

CLIENTS = ("websockets", "aiohttp", "ws", "chromium")
SUBPROTOCOLS = (None, "lexmesh.v1.json", "lexmesh.v1.proto")
LARGE = {"é": "ü€😀" * 20_000}  # 180 KB in UTF-8

Launch = Callable[..., Client]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if browser.BINARY is None:
        absent("no chromium: apt-get install chromium")
    with Chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with browser.site(FOREIGN) as origin:
        yield origin


@pytest.fixture
def launch(request: pytest.FixtureRequest) -> Iterator[Launch]:
    """Starts clients by name; they end with the test."""
    with ExitStack() as running:

        def launch(name: str, port: int, wire: Wire, *subjects: str) -> Client:
            told = where(port, wire, *subjects)
            if name != "chromium":
                return running.enter_context(Program(name, told))
            pages = request.getfixturevalue("chromium"), request.getfixturevalue("site")
            return running.enter_context(Page(*pages, told))

        yield launch


@pytest.fixture(params=SUBPROTOCOLS, ids=str)
def wire(request: pytest.FixtureRequest) -> Wire:
    if request.param == "lexmesh.v1.proto":
        return ProtoWire(request.getfixturevalue("internode"))
    return JsonWire(request.param)


class Pair:
    """Two clients of a kind: one publishes, one has subscribed."""

    def __init__(self, launch: Launch, name: str, port: int, wire: Wire) -> None:
        self.wire = wire
        self.publisher = Conversation(launch(name, port, wire), wire)
        self.subscriber = Conversation(launch(name, port, wire, "sensor.*", "deep.>"), wire)

    def connected(self) -> None:
        """Both have come (back), the subscriber with its subscription."""
        for client in (self.publisher, self.subscriber):
            opened = client.expect("open")
            assert opened["subprotocol"] == (self.wire.subprotocol or "")
            assert opened["extensions"] == "", "the gateway takes no extension"
            if self.wire.subprotocol:
                assert client.hear("_lexmesh.welcome")["data"]["max_message_size"] == 1 << 20
        assert self.subscriber.hear("_lexmesh.subscribed")["data"] == {"subjects": ["deep.>", "sensor.*"]}

    def published(self) -> None:
        """What matches the subscription arrives, in order and whole; what does not match does not."""
        for subject in ("sensor.north", "sensor.north.far", "deep", "deep.a.b"):
            self.publisher.say(type=subject, data=LARGE)
        assert self.subscriber.hear("sensor.north")["data"] == LARGE
        assert self.subscriber.hear("deep.a.b")["data"] == LARGE

    def refused(self) -> None:
        """A denied and a malformed message are answered, reach nobody, and cost neither side its connection."""
        self.publisher.say(type="sensor.north", id="me:1:1", metadata={"note": "force"})
        denied = self.publisher.hear("_lexmesh.error")
        assert denied["reply_to"] == "me:1:1"
        assert denied["data"] == {
            "outcome": "denied",
            "rule": "marker-metadata",
            "path": "metadata.note",
            "reason": "denied: marker-metadata at metadata.note",
        }
        self.publisher.say_malformed()
        malformed = self.publisher.hear("_lexmesh.error")["data"]
        assert malformed["outcome"] == "malformed"
        assert " at byte " in malformed["reason"]
        self.publisher.say(type="sensor.south", id="me:1:2", data=[1, None, "x"])
        assert self.subscriber.hear("sensor.south")["data"] == [1, None, "x"]

    def closed(self, code: int) -> None:
        for client in (self.publisher, self.subscriber):
            assert client.expect("close")["code"] == code


def stopped(running: Gateway) -> dict[str, int]:
    """Ends a gateway in order; returns its ledger's ingress."""
    ledger = running.stop()
    assert ledger["balanced"], ledger
    assert (ledger["egress"]["in_flight"], ledger["undecided"]) == (0, 0), ledger
    return ledger["ingress"]


@pytest.mark.parametrize("name", CLIENTS)
def test_publishes_is_denied_and_comes_back_after_a_stop(launch: Launch, wire: Wire, name: str) -> None:
    with gateway() as first:
        pair = Pair(launch, name, first.port, wire)
        pair.connected()
        pair.published()
        pair.refused()
        ingress = stopped(first)
        assert (ingress["routed"], ingress["unroutable"], ingress["denied"], ingress["malformed"]) == (3, 2, 1, 1)
    pair.closed(1001)
    with gateway(port=first.port) as second:
        pair.connected()
        pair.published()
        pair.refused()
        stopped(second)


@pytest.mark.parametrize("name", CLIENTS)
def test_comes_back_after_the_gateway_was_killed(launch: Launch, name: str) -> None:
    with gateway() as first:
        pair = Pair(launch, name, first.port, JsonWire(None))
        pair.connected()
        first.process.kill()
        first.end()
    pair.closed(1006)
    with gateway(port=first.port) as second:
        pair.connected()
        pair.published()
        stopped(second)


@pytest.mark.parametrize("name", CLIENTS)
def test_offers_the_compression_that_the_gateway_declines(launch: Launch, name: str) -> None:
    assert b"\r\nsec-websocket-extensions: permessage-deflate" in handshake_of(launch, name)


def handshake_of(launch: Launch, name: str) -> bytes:
    """The request of a client, in lower case; nobody answers it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        launch(name, listener.getsockname()[1], JsonWire(None))
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            request = b""
            while b"\r\n\r\n" not in request:
                some = connection.recv(4096)
                assert some, request
                request += some
    return request.lower()


def test_a_page_of_an_allowed_origin_is_let_in(launch: Launch, site: str) -> None:
    with gateway(env={"LEXMESH_ALLOWED_ORIGINS": f"https://example.com,{site}"}) as running:
        pair = Pair(launch, "chromium", running.port, JsonWire(None))
        pair.connected()
        pair.published()
        stopped(running)


def test_a_page_of_another_origin_is_turned_away(launch: Launch, site: str) -> None:
    with gateway(env={"LEXMESH_ALLOWED_ORIGINS": site.replace("localhost", "127.0.0.1")}) as running:
        page: Any = launch("chromium", running.port, JsonWire(None), "sensor.*")
        assert page.report() == {"event": "failed", "by_error": True}
        assert any("403" in error for error in page.network_errors), page.network_errors
        assert stopped(running)["malformed"] == 0


def test_a_client_that_is_no_browser_needs_no_origin(launch: Launch) -> None:
    with gateway(env={"LEXMESH_ALLOWED_ORIGINS": "https://example.com"}) as running:
        pair = Pair(launch, "ws", running.port, JsonWire(None))
        pair.connected()
        stopped(running)
