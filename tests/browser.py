"""Headless Chromium, driven over pipes (the DevTools protocol), and a site for its pages."""

import contextlib
import itertools
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import psutil
from cli_process import PATIENCE

BINARY = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",  # which root may not have
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-dev-shm-usage",  # a container's is often small
    "--remote-debugging-pipe",  # descriptors 3 and 4; Chromium ends when they close, so it cannot outlive us
]
PIPES = 'exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null'


class Chromium:
    """A browser with a profile of its own."""

    def __init__(self, profile: Path) -> None:
        self.process = subprocess.Popen(
            ["sh", "-c", PIPES, "sh", str(BINARY), *FLAGS, f"--user-data-dir={profile}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._numbers = itertools.count(1)
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self.events: dict[str, queue.Queue[dict[str, Any]]] = {}
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        rest = b""
        while some := self.process.stdout.read1():
            *whole, rest = (rest + some).split(b"\0")
            for message in map(json.loads, whole):
                if "id" in message:
                    self._answers.put(message)
                elif message.get("sessionId") in self.events:
                    self.events[message["sessionId"]].put(message)
        self._answers.put({"error": "Chromium has ended"})

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Gives an order and returns what came of it; orders come from one thread."""
        number = next(self._numbers)
        order = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        self.process.stdin.write(json.dumps(order).encode() + b"\0")
        self.process.stdin.flush()
        answer = self._answers.get(timeout=PATIENCE)
        assert answer.get("id") == number, answer
        assert "error" not in answer, answer
        return answer["result"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        with contextlib.suppress(AssertionError, BrokenPipeError, queue.Empty):
            self.ask("Browser.close")
        self.process.stdin.close()
        _, left = psutil.wait_procs(family, timeout=PATIENCE / 4)
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(PATIENCE)
        self._thread.join()
        self.process.stdout.close()


class Page:
    """A page of the site that is a client of a gateway; it sends and reports as the programs do."""

    def __init__(self, browser: Chromium, site: str, where: dict[str, Any]) -> None:
        self._browser = browser
        self._target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.ask("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        self._events = browser.events[self._session] = queue.Queue()
        self.network_errors: list[str] = []
        for domain in ("Runtime", "Page", "Network"):
            self._ask(f"{domain}.enable")
        self._ask("Runtime.addBinding", name="tell")
        self._ask("Page.navigate", url=f"{site}/page.html")
        while self._events.get(timeout=PATIENCE)["method"] != "Page.loadEventFired":
            pass
        self._run(f"send = reconnecting(WebSocket, {json.dumps(where)}, what => tell(JSON.stringify(what)))")

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.ask(method, self._session, **parameters)

    def _run(self, script: str) -> None:
        result = self._ask("Runtime.evaluate", expression=f"{script}; null")
        assert "exceptionDetails" not in result, result

    def send(self, frame: dict[str, str]) -> None:
        self._run(f"send({json.dumps(frame)})")

    def report(self) -> dict[str, Any]:
        """The next thing that happened to the page's connection."""
        while True:
            event = self._events.get(timeout=PATIENCE)
            if event["method"] == "Runtime.bindingCalled":
                return json.loads(event["params"]["payload"])
            if event["method"] == "Network.webSocketFrameError":
                self.network_errors.append(event["params"]["errorMessage"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ask("Target.closeTarget", targetId=self._target)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Serves a folder on localhost; gives the origin of its pages."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
