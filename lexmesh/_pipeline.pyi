from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

from lexmesh._codec import StreamEvent
from lexmesh._handlers import HandlerEndpoint
from lexmesh._intake import Intake
from lexmesh._nsr import Scanner
from lexmesh._router import Endpoint

INGRESS_NAMES: Final[tuple[str, ...]]

class Core(Intake):
    def publish(
        self,
        event_type: str,
        data: Any,
        metadata: dict[str, str] | None,
        target_node: str,
        ttl: int | None,
        priority: int,
        reply_to: str,
        now: int,
        depth: int = 0,
    ) -> tuple[str | None, str]: ...
    def reply(self, endpoint: Endpoint, request: StreamEvent, data: dict[str, Any], now: int) -> str: ...
    def process(self, event: StreamEvent, now: int, depth: int = 0) -> str | None: ...
    def feed(self, message: bytes, format: str, source: Endpoint, now: int) -> str | None: ...
    def announce(self, endpoints: list[HandlerEndpoint], event: StreamEvent) -> None: ...
    def set_middleware(
        self,
        middleware: Callable[[StreamEvent], StreamEvent | Awaitable[StreamEvent | None] | None] | None,
        on_deferred: Callable[[Coroutine[Any, Any, Any], Endpoint], None] | None,
    ) -> None: ...
    def set_scanner(self, scanner: Scanner) -> None: ...
    def trim(self) -> None: ...
    @property
    def capacity(self) -> int: ...
    @property
    def missing(self) -> int: ...
    @property
    def last_refusal(self) -> tuple[str, str] | None: ...
    def ledger(self, endpoints: Iterable[Endpoint]) -> dict[str, Any]: ...
