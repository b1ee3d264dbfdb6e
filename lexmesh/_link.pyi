from typing import Any, Final

from picows import WSListener, WSTransport

from lexmesh._outbox import Outbox
from lexmesh._pipeline import Core

MAX_FRAME_MARGIN: Final[int]

class Link(WSListener):
    outbox: Outbox
    transport: WSTransport
    def __init__(self, core: Core, outbox: Outbox, owner: Any, max_fragments: int) -> None: ...
    def stop_reading(self) -> None: ...
