from logging import Logger
from typing import Any, Final

from picows import WSListener, WSTransport

from lexmesh._bucket import TokenBucket
from lexmesh._outbox import Outbox
from lexmesh._pipeline import Core

MAX_FRAME_MARGIN: Final[int]
READ_BUFFER: Final[int]

logger: Logger

class Link(WSListener):
    outbox: Outbox
    transport: WSTransport
    work: int
    def __init__(
        self, core: Core, outbox: Outbox, owner: Any, max_fragments: int, bucket: TokenBucket | None = None
    ) -> None: ...
    @property
    def pending(self) -> int: ...
    @property
    def read_capacity(self) -> int: ...
    def on_violation(self, *told: object, **_options: object) -> None: ...
    def stop_reading(self) -> None: ...
    def trim(self) -> None: ...
    def rest(self) -> None: ...
