"""`websockets` or `aiohttp` as a program: the arguments say which and where to connect.

Each line of stdin is a frame to send, `{"text": …}` or `{"binary": base64}`, each line of stdout a report. It comes
back when the connection ends, and ends with its stdin.
"""

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

PAUSE = 0.05  # seconds until the next attempt
LINE_LIMIT = 1 << 24


def report(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def from_frame(frame: dict[str, str]) -> str | bytes:
    return frame["text"] if "text" in frame else base64.b64decode(frame["binary"])


def to_frame(data: str | bytes) -> dict[str, str]:
    return {"text": data} if isinstance(data, str) else {"binary": base64.b64encode(data).decode()}


class Client:
    """What both have in common: where to, and the connection of the moment."""

    def __init__(self, url: str, subprotocol: str | None, opening: list[dict[str, str]]) -> None:
        self.url = url
        self.subprotocols = [subprotocol] if subprotocol else []
        self.opening = opening
        self.send: Callable[[str | bytes], Awaitable[None]]

    async def opened(self, send: Callable[[str | bytes], Awaitable[None]], subprotocol: str | None, exts: str) -> None:
        self.send = send
        for frame in self.opening:
            await send(from_frame(frame))
        report(event="open", subprotocol=subprotocol or "", extensions=exts)

    async def run(self) -> None:
        raise NotImplementedError


class WithWebsockets(Client):
    """The library's own way of coming back: a connection that is iterated over."""

    async def run(self) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed

        async for connection in connect(self.url, subprotocols=self.subprotocols or None):
            try:
                extensions = ", ".join(extension.name for extension in connection.protocol.extensions)
                await self.opened(connection.send, connection.subprotocol, extensions)
                async for data in connection:
                    report(event="message", **to_frame(data))
            except ConnectionClosed:
                pass
            report(event="close", code=connection.close_code)


class WithAiohttp(Client):
    """A loop, since the library does not come back by itself."""

    async def run(self) -> None:
        import aiohttp

        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.ws_connect(self.url, protocols=self.subprotocols, compress=15) as connection:
                        await self._serve(connection)
                except aiohttp.ClientError:
                    report(event="failed", by_error=True)
                    await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=PAUSE)

    async def _serve(self, connection: Any) -> None:
        async def send(data: str | bytes) -> None:
            await (connection.send_str(data) if isinstance(data, str) else connection.send_bytes(data))

        await self.opened(send, connection.protocol, "permessage-deflate" if connection.compress else "")
        async for message in connection:
            report(event="message", **to_frame(message.data))
        report(event="close", code=connection.close_code)


async def main(library: str, where: dict[str, Any]) -> None:
    client = {"websockets": WithWebsockets, "aiohttp": WithAiohttp}[library](**where)
    running = asyncio.ensure_future(client.run())
    running.add_done_callback(lambda task: task.cancelled() or sys.exit(f"{library}: {task.exception()!r}"))
    orders = asyncio.StreamReader(limit=LINE_LIMIT)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async for line in orders:
        await client.send(from_frame(json.loads(line)))
    running.cancel()


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
