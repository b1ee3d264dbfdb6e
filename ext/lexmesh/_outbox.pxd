"""What waits to leave on one link: framed bytes, and what has to be counted once they are gone."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from picows.picows cimport WSTransport

from lexmesh._framer cimport Framer
from lexmesh._relay cimport Copies, Relay
from lexmesh._router cimport Endpoint, Subject

cdef enum:
    QUIET_BYTES = 1024          # of buffer that an outbox keeps for the next message
    FLUSH_BYTES = 262144        # more than this leaves at once, not at the end of the loop turn


cdef enum Overflow:
    DISCONNECT = 0
    DROP_OLDEST = 1
    DROP_NEWEST = 2
    BLOCK = 3


cdef class Outbox(Framer):
    cdef readonly object owner      # told of control messages, refusals, congestion and overflow
    cdef WSTransport transport
    cdef uint64_t own_seq           # numbers the reserved messages sent here
    cdef Overflow overflow
    cdef Py_ssize_t limit           # bytes queued here before overflow
    cdef int64_t age_limit          # ms that queued bytes may wait
    cdef Py_ssize_t ahead           # bytes that wait in front of those in `out`; none where a socket takes all at once
    cdef int64_t stuck_since        # ms; when the transport last stopped taking bytes
    cdef bint scheduled             # will be flushed, at the end of the loop turn
    cdef bint held                  # or when the read that is being served is done
    cdef bint stuck
    cdef readonly bint congested

    cdef inline void hold(self) noexcept
    cdef int let_go(self) except -1
    cdef int _deliver_first(self, Relay* relay, Subject* subject, Endpoint source) except -1
    cdef int _shared(self, Subject* subject, uint32_t size) except -1
    cdef int _deliver_apart(self, const Copies* copies, Subject* subject, Endpoint source) except -1
    cdef int _send_run(self) except -1
    cdef inline int _waits(self) except -1
    cdef inline Py_ssize_t _waiting(self) noexcept
    cdef bint _make_room(self, Py_ssize_t size, Subject* subject) except -1
    cdef void _drop_oldest(self, Py_ssize_t wanted) noexcept
    cpdef bint too_old(self) noexcept
    cdef void _watch_congestion(self) except *
    cpdef void flush(self) except *
