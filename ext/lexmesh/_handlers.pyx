"""Calls a Python handler with an event and counts what came of it. A handler's exception never leaves here."""

import asyncio.exceptions
from contextvars import ContextVar
from types import FunctionType, MethodType

from lexmesh._codec cimport StreamEvent
from lexmesh._ledger cimport UNDECIDED, Drop
from lexmesh._pipeline cimport Core
from lexmesh._relay cimport Relay
from lexmesh._router cimport Endpoint, Router, Subject

cause_depth = ContextVar("lexmesh_cause_depth", default=0)
"""Depth of what an async handler publishes: its cause's depth plus one."""

cdef object CANCELLED = asyncio.exceptions.CancelledError


cdef class HandlerEndpoint(Endpoint):
    """One subscription of a handler.

    Args:
        core: the node's pipeline.
        handler: what the user registered; kept to find the subscription again.
        call: callable(event, source) that calls it and returns its result or an awaitable; None if it takes the event
            alone.
        on_awaitable: callable(coroutine) -> bool that sees to it that the coroutine runs; false if there is no room.
        on_result: callable(result, event, source) for results other than None.
        on_failed: callable(endpoint, exception, event).
    """

    def __init__(self, Core core not None, handler, call, on_awaitable, on_result, on_failed):
        self.core = core
        self.handler = handler
        self.call = call
        self.alone = without_slots(handler)
        self.on_awaitable = on_awaitable
        self.on_result = on_result
        self.on_failed = on_failed
        self.local = True
        self.name = getattr(handler, "__qualname__", type(handler).__name__)

    cdef int deliver(self, Relay* relay, Subject* subject, Endpoint source, object event) except -1:
        cdef int outer = self.core.cause_depth
        cdef StreamEvent cause = event
        self.core.cause_depth = cause.env.depth + 1
        try:
            result = self.alone(event) if self.call is None else self.call(event, source)
            is_awaitable = result is not None and hasattr(result, "__await__")
        except (Exception, CANCELLED) as error:     # a cancelled future that a sync handler asks for its result
            self.core.cause_depth = outer
            return self._failed(subject, error, event)
        except BaseException as error:
            self._failed(subject, error, event)
            raise
        finally:
            self.core.cause_depth = outer
        if is_awaitable:
            awaited = self._awaited(result, cause, source)
            source.wait_for(event)
            if not self.on_awaitable(awaited):
                awaited.close()
                self._abandon(result, subject)
                source.done_with(event, <int>UNDECIDED)
            return 0
        return self._finish(subject, result, cause, source)

    cdef int _finish(self, Subject* subject, object result, StreamEvent event, Endpoint source) except -1:
        self.pending -= 1
        self.tally.delivered += 1
        subject.tally.delivered += 1
        if result is not None:
            self.on_result(result, event, source)
        return 0

    cdef int _failed(self, Subject* subject, object error, StreamEvent event) except -1:
        self.pending -= 1
        self.tally.failed += 1
        subject.tally.failed += 1
        self.on_failed(self, error, event)
        return 0

    async def _awaited(self, result, StreamEvent event, Endpoint source):
        """Awaits an async handler. The subject is looked up again: a pointer may not live in a coroutine's frame."""
        outer = cause_depth.get()       # of a caller that awaits this in its own context
        cause_depth.set(event.env.depth + 1)
        try:
            result = await result
        except CANCELLED:
            self.drop(self.core.router.find(event.env.event_type), Drop.CANCELLED, 1)
            raise
        except Exception as error:
            self._failed(self.core.router.find(event.env.event_type), error, event)
        else:
            self._finish(self.core.router.find(event.env.event_type), result, event, source)
        finally:
            cause_depth.set(outer)
            source.done_with(event, <int>UNDECIDED)

    cdef int _abandon(self, object awaitable, Subject* subject) except -1:
        """Counts an async call as dropped that there was no room to run."""
        self.drop(subject, Drop.OVERFLOW, 1)
        if hasattr(awaitable, "close"):     # a coroutine that is only let go warns that nobody awaited it
            awaitable.close()
        return 0


cdef object without_slots(object handler):
    """What calls a handler fastest: for an object with `__call__` that method bound, which is called without a tuple."""
    cdef object method = getattr(type(handler), "__call__", None)
    return MethodType(method, handler) if type(method) is FunctionType else handler
