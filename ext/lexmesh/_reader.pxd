"""The inbound frames of a link, read into memory that all links of a node share."""

from libc.stdint cimport int64_t, uint8_t

from picows.picows cimport MemoryBuffer, WSListener, WSTransport

from lexmesh._buffer cimport Buffer
from lexmesh._span cimport Span


cdef class ReadBuffer:
    """Where the sockets of one thread are read into, one after the other."""

    cdef uint8_t* ptr
    cdef Py_ssize_t size
    cdef bint busy                  # frames in it are being served

    cdef int allocate(self) except -1


cdef class Reader(WSListener):
    """A listener of picows that takes its connection over from picows' own parser."""

    cdef readonly WSTransport transport
    cdef readonly int64_t work      # frames and events of batches so far
    cdef int64_t trimmed_at         # `work` when memory was last given back
    cdef ReadBuffer shared
    cdef object protocol            # picows', which shakes hands, reads the first frames and knows how a connection ends
    cdef MemoryBuffer handed        # what picows reads into; None where it cannot be reached or is not needed any more
    cdef Buffer unfinished          # the beginning of a frame whose end has not come
    cdef Py_ssize_t largest_frame   # bytes
    cdef bint taken                 # the connection is read here
    cdef bint masked                # frames must be masked
    cdef bint direct                # the socket is read into `unfinished`
    cdef bint broken                # what follows a violation is no frames

    cdef int attach(self, WSTransport transport) except -1
    cdef int detach(self) except -1
    cdef int take_over(self) except -1
    cdef int begins(self) except -1
    cdef int frame(self, uint8_t first, Span payload, int64_t now) except -1
    cdef int served(self, int64_t now) except -1
    cdef int violation(self, int code, str reason) except -1
    cdef int _frames(self, uint8_t* data, Py_ssize_t length, Py_ssize_t* at, int64_t now) except -1
    cdef int _keep(self, const uint8_t* data, Py_ssize_t length) except -1
    cdef Py_ssize_t _missing(self) noexcept
    cdef int _give_back(self, Py_ssize_t size) except -1
    cdef Py_ssize_t _read_capacity(self) noexcept
    cdef int _shrink(self) except -1
