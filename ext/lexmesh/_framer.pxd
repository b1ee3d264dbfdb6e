"""What leaves on one link as frames: of its own, or held in common with others who get the same."""

from libc.stdint cimport uint32_t

from lexmesh._buffer cimport Buffer
from lexmesh._relay cimport Run
from lexmesh._router cimport Subject
from lexmesh._sender cimport Sender
from lexmesh._span cimport Span


cdef class Framer(Sender):
    cdef bint masked                # a client's frames are
    cdef bint bare                  # elements of one Batch without end, in no frames: a stream cuts it as it likes
    cdef Buffer out                 # frames of its own
    cdef Run run                    # or what it holds in common with others; never both
    cdef Py_ssize_t batch_at        # where the open batch frame begins in `out`, -1 when none is open
    cdef Py_ssize_t batch_head      # bytes kept there for its header

    cdef int put(self, Span message, Subject* subject) except -1
    cdef int _put_framed(self, Span message, Subject* subject) except -1
    cdef int _own_run(self) except -1
    cdef int _queued(self, Subject* subject, Py_ssize_t size, bint starts) except -1     # for a subclass to override
    cdef bint _open_batch(self, Py_ssize_t size) except -1
    cdef void _close_batch(self) noexcept
    cdef void _shorten_last_frame(self, uint32_t by) noexcept
