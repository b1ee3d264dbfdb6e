"""RFC 6455 frames from a connection's bytes, after the handshake, which is picows'.

picows unmasks with stores that bypass the caches, so that whoever reads the payload next waits for memory, and keeps a
read buffer for each connection. Here frames are unmasked in cache, one ahead of the frame that is looked at, and one
buffer serves all connections of a node: between two reads only the beginning of an unfinished frame is kept.
"""

import asyncio

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from picows.picows cimport WSListener

from lexmesh._buffer cimport append, release, reserve
from lexmesh._clock cimport now_ms
from lexmesh._span cimport Span, span

cdef extern from "Python.h":
    int PyBUF_WRITE

cdef extern from "frame.h" nogil:
    enum:
        LM_FRAME_INCOMPLETE
        LM_FRAME_VIOLATION
    ctypedef struct lm_frame:
        uint8_t first
        uint32_t mask
        uint64_t length
    int lm_read_frame_header(const uint8_t* at, size_t available, int masked, lm_frame* frame) noexcept
    void lm_frame_mask(uint8_t* data, size_t length, uint32_t mask) noexcept

cdef enum:
    READ_BYTES = 65536          # read at once: with more, calls saved no longer show, and caches overflow
    DIRECT_BYTES = 32768        # a longer beginning of a frame is not copied to and fro, but read on where it is kept
    AHEAD = 2048                # bytes of a frame that is unmasked before the frame in front of it is looked at
    PROTOCOL_ERROR = 1002       # close codes, RFC 6455 section 7.4.1
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011


cdef class ReadBuffer:
    cdef int allocate(self) except -1:
        """Sees to it that there is memory: a node without a connection has none."""
        if self.ptr == NULL:
            self.ptr = <uint8_t*>PyMem_RawMalloc(READ_BYTES)
            if self.ptr == NULL:
                raise MemoryError
            self.size = READ_BYTES
        return 0

    def __dealloc__(self):
        PyMem_RawFree(self.ptr)


cdef enum:
    TOO_LONG = -2               # beside the LM_FRAME_ values: a frame that may not have the length that it declares


cdef struct Found:
    # A frame in the buffer: complete if `header` is its header's size, else TOO_LONG or an LM_FRAME_ value.
    int header
    lm_frame frame


cdef inline Found found_at(uint8_t* data, Py_ssize_t available, bint masked, Py_ssize_t largest) noexcept nogil:
    """Looks for a frame, and unmasks a short one if it is complete."""
    cdef Found found
    found.header = lm_read_frame_header(data, <size_t>available, masked, &found.frame)
    if found.header != LM_FRAME_VIOLATION and found.frame.length > <uint64_t>largest:
        found.header = TOO_LONG
    if found.header <= 0:
        return found
    if found.frame.length > <uint64_t>(available - found.header):
        found.header = LM_FRAME_INCOMPLETE
    elif masked and found.frame.length <= AHEAD:
        lm_frame_mask(data + found.header, <size_t>found.frame.length, found.frame.mask)
    return found


cdef class Reader(WSListener, asyncio.BufferedProtocol):
    """What a frame means is for `frame` to say.

    Args:
        shared: the read buffer of the thread that this connection is served by.
    """

    def __init__(self, ReadBuffer shared not None):
        self.shared = shared

    def __dealloc__(self):
        release(&self.rest)

    cdef int frame(self, uint8_t first, Span payload, int64_t now) except -1:
        """Takes one frame; its payload is gone when this returns."""
        return 0

    cdef int violation(self, int code, str reason) except -1:
        """Learns that what came is no frame that may come."""
        return 0

    cdef int take_over(self) except -1:
        """Reads this connection from now on; to be called when picows' parser holds no byte of it."""
        cdef object transport = self.transport.underlying_transport
        self.masked = not self.transport.is_client_side
        self.handshaker = transport.get_protocol()
        transport.set_protocol(self)
        return 0

    # -- as asyncio's BufferedProtocol -----------------------------------------------------------------------------

    def connection_lost(self, exc):
        handshaker, self.handshaker = self.handshaker, None
        handshaker.connection_lost(exc)

    def eof_received(self):
        return False        # the transport closes itself

    def get_buffer(self, Py_ssize_t sizehint):
        """Where the socket is to be read into; `buffer_updated` follows before any other connection is read."""
        self.direct = self.rest.len > DIRECT_BYTES
        if self.direct:
            if not reserve(&self.rest, max(1, min(self._missing(), self.rest.len))):
                raise MemoryError
            return PyMemoryView_FromMemory(<char*>self.rest.ptr + self.rest.len, self.rest.capacity - self.rest.len,
                                           PyBUF_WRITE)
        self.shared.allocate()
        if self.rest.len:
            memcpy(self.shared.ptr, self.rest.ptr, <size_t>self.rest.len)
        return PyMemoryView_FromMemory(<char*>self.shared.ptr + self.rest.len, self.shared.size - self.rest.len,
                                       PyBUF_WRITE)

    def buffer_updated(self, Py_ssize_t nbytes):
        cdef Py_ssize_t length = self.rest.len + nbytes
        cdef uint8_t* data = self.rest.ptr if self.direct else self.shared.ptr
        cdef Py_ssize_t at = 0
        try:
            self._frames(data, length, &at)
        except Exception:
            self.violation(INTERNAL_ERROR, "")
        finally:
            self._keep(data + at, 0 if self.broken else length - at)

    cdef Py_ssize_t _missing(self) noexcept:
        """Bytes until the frame in `rest`, whose header is there, is complete."""
        cdef lm_frame frame
        cdef int header = lm_read_frame_header(self.rest.ptr, <size_t>self.rest.len, self.masked, &frame)
        return <Py_ssize_t>frame.length + header - self.rest.len

    cdef int _frames(self, uint8_t* data, Py_ssize_t length, Py_ssize_t* at) except -1:
        """Takes all complete frames; `at` is where the first that was not taken begins."""
        cdef int64_t now = now_ms()
        cdef Found found, following
        cdef uint8_t* payload
        if self.broken:
            return 0
        found = found_at(data, length, self.masked, self.largest_frame)
        while found.header > 0:
            payload = data + at[0] + found.header
            at[0] += found.header + <Py_ssize_t>found.frame.length
            following = found_at(data + at[0], length - at[0], self.masked, self.largest_frame)
            if self.masked and found.frame.length > AHEAD:
                lm_frame_mask(payload, <size_t>found.frame.length, found.frame.mask)
            self.frame(found.frame.first, span(payload, <Py_ssize_t>found.frame.length), now)
            found = following
        if found.header == LM_FRAME_INCOMPLETE:
            return 0
        self.broken = True
        if found.header == TOO_LONG:
            return self.violation(TOO_BIG, f"a frame over {self.largest_frame} bytes")
        return self.violation(PROTOCOL_ERROR, "no frame that may come here (RFC 6455, section 5.2)")

    cdef int _keep(self, const uint8_t* data, Py_ssize_t length) except -1:
        """Keeps the beginning of a frame until the next read; nothing else of the connection's bytes is kept."""
        if length == 0:
            release(&self.rest)
            return 0
        if self.direct:
            memmove(self.rest.ptr, data, <size_t>length)
            self.rest.len = length
            return 0
        self.rest.len = 0
        if not reserve(&self.rest, length):
            raise MemoryError
        append(&self.rest, data, length)
        return 0
