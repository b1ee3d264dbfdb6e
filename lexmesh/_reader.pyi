import asyncio
from logging import Logger
from typing import Final

from picows import WSListener, WSTransport

READ_BUFFER: Final[int]

logger: Logger

class ReadBuffer: ...

class Reader(WSListener, asyncio.BufferedProtocol):
    transport: WSTransport
    work: int
    def __init__(self, shared: ReadBuffer) -> None: ...
    @property
    def pending(self) -> int: ...
    @property
    def read_capacity(self) -> int: ...
    def trim(self) -> int: ...
    def rest(self) -> None: ...
