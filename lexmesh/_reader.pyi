import asyncio

from picows import WSListener, WSTransport

class ReadBuffer: ...

class Reader(WSListener, asyncio.BufferedProtocol):
    transport: WSTransport
    def __init__(self, shared: ReadBuffer) -> None: ...
