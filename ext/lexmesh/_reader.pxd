"""The inbound frames of a link, read into memory that all links of a node share."""

from libc.stdint cimport int64_t, uint8_t

from picows.picows cimport WSListener, WSTransport

from lexmesh._buffer cimport Buffer
from lexmesh._span cimport Span


cdef class ReadBuffer:
    """Where the sockets of one thread are read into, one after the other."""

    cdef uint8_t* ptr
    cdef Py_ssize_t size

    cdef int allocate(self) except -1


cdef class Reader(WSListener):
    """A listener of picows that takes its connection over from picows' own parser."""

    cdef readonly WSTransport transport
    cdef ReadBuffer shared
    cdef object handshaker          # picows' protocol, which knows how a connection ends; None before the takeover
    cdef Buffer rest                # the beginning of a frame whose end has not come
    cdef Py_ssize_t largest_frame   # bytes
    cdef bint masked                # frames must be masked
    cdef bint direct                # the socket is read into `rest`
    cdef bint broken                # what follows a violation is no frames

    cdef int take_over(self) except -1
    cdef int frame(self, uint8_t first, Span payload, int64_t now) except -1
    cdef int violation(self, int code, str reason) except -1
    cdef int _frames(self, uint8_t* data, Py_ssize_t length, Py_ssize_t* at) except -1
    cdef int _keep(self, const uint8_t* data, Py_ssize_t length) except -1
    cdef Py_ssize_t _missing(self) noexcept
