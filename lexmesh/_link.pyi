from logging import Logger
from typing import Any, Final

from lexmesh._bucket import TokenBucket
from lexmesh._outbox import Outbox
from lexmesh._pipeline import Core
from lexmesh._reader import Reader

MAX_FRAME_MARGIN: Final[int]

logger: Logger

class Link(Reader):
    outbox: Outbox
    def __init__(
        self, core: Core, outbox: Outbox, owner: Any, max_fragments: int, bucket: TokenBucket | None = None
    ) -> None: ...
    def on_violation(self, *told: object, **_options: object) -> None: ...
    def take_freely(self) -> None: ...
    def stop_reading(self) -> None: ...
