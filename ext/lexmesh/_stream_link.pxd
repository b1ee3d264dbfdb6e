"""A link over a stream of Batches that somebody else carries."""

from libc.stdint cimport int64_t

from lexmesh._buffer cimport Buffer
from lexmesh._outbox cimport Outbox

cdef enum:
    MOST_BATCH = 65536      # bytes of a Batch that leaves, unless its one event has more


cdef class StreamLink(Outbox):
    cdef Buffer leaving         # what the stream is to take, taken from `out` as a whole
    cdef Py_ssize_t taken       # bytes of it that the stream has
    cdef Py_ssize_t front_size  # bytes of the Batch that it takes next; 0 while that has not been cut
    cdef Py_ssize_t front_count # messages in it
    cdef bint deaf              # takes nothing more in

    cdef void _cut(self) noexcept nogil
    cdef Py_ssize_t _most_together(self) noexcept nogil
