"""Records of the messages that wait on one link."""

from libc.stdint cimport uint32_t

from lexmesh._ledger cimport Drop
from lexmesh._router cimport Endpoint, Subject


cdef struct Record:
    Subject* subject        # NULL: a message of the link's own, in no ledger
    uint32_t count          # messages
    uint32_t size           # bytes in the buffer, framing included
    bint starts_frame
    uint32_t round          # of the backlog when the message was queued


cdef class Backlog(Endpoint):
    """An endpoint whose messages wait; the first `riding` records are with the transport already."""

    cdef Record* records
    cdef Py_ssize_t record_first, record_count, record_capacity
    cdef Py_ssize_t riding
    cdef bint keeps_frames      # one record a message, so that the oldest frames can be dropped
    cdef uint32_t round         # what is queued in one round may leave together; others keep their order

    cdef int _record(self, Subject* subject, uint32_t size, bint starts_frame) except -1
    cdef void _settle(self, Py_ssize_t count) noexcept
    cdef void _settle_messages(self, Py_ssize_t count) noexcept
    cdef void _trim_records(self) noexcept
    cdef void _drop_records(self, Py_ssize_t keep, Drop reason) noexcept


cdef inline bint counted(Backlog backlog, Subject* subject, uint32_t size) noexcept:
    """Adds a message to the last record, if that is of its subject and need not be kept apart; False if not."""
    cdef Record* last
    if backlog.record_count <= backlog.riding or backlog.keeps_frames:
        return False
    last = &backlog.records[backlog.record_first + backlog.record_count - 1]
    if last.subject != subject or last.round != backlog.round:
        return False
    last.count += 1
    last.size += size
    return True
