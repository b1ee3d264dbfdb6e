from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

from lexmesh._codec import StreamEvent
from lexmesh._pipeline import Core
from lexmesh._router import Endpoint

cause_depth: ContextVar[int]

class HandlerEndpoint(Endpoint):
    handler: object
    def __init__(
        self,
        core: Core,
        handler: object,
        call: Callable[[StreamEvent, Endpoint], Any] | None,
        on_awaitable: Callable[[Coroutine[Any, Any, Any]], bool] | None,
        on_result: Callable[[Any, StreamEvent, Endpoint], None] | None,
        on_failed: Callable[[HandlerEndpoint, Exception, StreamEvent], None] | None,
    ) -> None: ...
