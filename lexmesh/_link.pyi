from typing import Any, Final

from lexmesh._outbox import Outbox
from lexmesh._pipeline import Core
from lexmesh._reader import Reader

MAX_FRAME_MARGIN: Final[int]

class Link(Reader):
    outbox: Outbox
    def __init__(self, core: Core, outbox: Outbox, owner: Any, max_fragments: int) -> None: ...
    def stop_reading(self) -> None: ...
