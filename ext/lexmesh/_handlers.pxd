"""Python handlers as recipients of messages."""

from lexmesh._codec cimport StreamEvent
from lexmesh._pipeline cimport Core
from lexmesh._relay cimport Relay
from lexmesh._router cimport Endpoint, Subject


cdef class HandlerEndpoint(Endpoint):
    cdef readonly object handler
    cdef Core core
    cdef object call            # callable(event, source), or None
    cdef object alone           # callable(event)
    cdef object on_awaitable    # callable(coroutine) -> bool
    cdef object on_failed       # callable(endpoint, exception, event)
    cdef object on_result       # callable(result, event, source), for what is not None

    cdef int _finish(self, Subject* subject, object result, StreamEvent event, Endpoint source) except -1
    cdef int _abandon(self, object awaitable, Subject* subject) except -1
    cdef int _failed(self, Subject* subject, object error, StreamEvent event) except -1
