"""The echo server of picows' own documentation, on uvloop: python -m peers.servers.picows_echo PORT."""

import asyncio
import sys

import uvloop
from picows import WSFrame, WSListener, WSTransport, WSUpgradeRequest, ws_create_server


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        transport.send(frame.msg_type, frame.get_payload_as_bytes())


def accept(_request: WSUpgradeRequest) -> Echo:
    return Echo()


async def serve(port: int) -> None:
    server = await ws_create_server(accept, "127.0.0.1", port)
    async with server:
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
