"""RFC 6455 frames from a connection's bytes, after the handshake, which is picows'.

picows unmasks with stores that bypass the caches, so that whoever reads the payload next waits for memory, and keeps a
read buffer for each connection. Here frames are unmasked in cache, one ahead of the frame that is looked at, and one
buffer serves all connections of a node: between two reads only the beginning of an unfinished frame is kept.
"""

import asyncio
import gc
import logging
import sys

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from picows.picows cimport MemoryBuffer, WSListener, WSTransport

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
    SPARE_BYTES = 256           # that picows keeps free at its read buffer's end, for vectors that read past it
    QUIET_BYTES = 512           # of that buffer without those, once nothing comes; with less it would lose them as it grows
    GIVEN_BACK_BYTES = 16384    # of one that has been given back although something comes
    GROWN_BYTES = 131072        # of one that is not given back while something comes

READ_BUFFER = 2048              # picows' for a new connection: the least that it takes

logger = logging.getLogger("lexmesh.websocket")

# On Windows a read is under way at any time, into memory that was asked for before others were served.
cdef bint READS_WHEN_READY = sys.platform != "win32"


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
        release(&self.unfinished)

    # -- for subclasses ------------------------------------------------------------------------------------------

    cdef int begins(self) except -1:
        """Frames that came in one read are about to be served."""
        return 0

    cdef int frame(self, uint8_t first, Span payload, int64_t now) except -1:
        """Takes one frame; its payload is gone when this returns."""
        return 0

    cdef int served(self, int64_t now) except -1:
        """They have been."""
        return 0

    cdef int violation(self, int code, str reason) except -1:
        """Learns that what came is no frame that may come."""
        return 0

    cdef int attach(self, WSTransport transport) except -1:
        """Learns of the connection, which picows reads for now."""
        self.transport = transport
        self.protocol = transport.underlying_transport.get_protocol()
        self.handed = _read_buffer_of(self.protocol)
        return 0

    cdef int detach(self) except -1:
        """Lets go of the connection: else its memory would wait in a cycle for the garbage collector."""
        self.transport = self.protocol = self.handed = None
        if not self.shared.busy:    # else frames in it may be being served; `buffer_updated` or the end lets go of it
            release(&self.unfinished)
        return 0

    cdef int take_over(self) except -1:
        """Reads this connection from now on, where that can be; to be called when picows' parser holds no byte of it."""
        if READS_WHEN_READY and not self.taken:
            self.masked = not self.transport.is_client_side
            self.taken = True
            self.transport.underlying_transport.set_protocol(self)
        return 0

    # -- as asyncio's BufferedProtocol ---------------------------------------------------------------------------

    def connection_lost(self, exc):
        self.protocol.connection_lost(exc)

    def eof_received(self):
        return False        # the transport closes itself

    def get_buffer(self, Py_ssize_t sizehint):
        """Where the socket is to be read into; `buffer_updated` follows before any other connection is read."""
        self.direct = self.unfinished.len > DIRECT_BYTES or self.shared.busy
        if self.direct:
            if not reserve(&self.unfinished, max(1, min(self._missing(), self.unfinished.len))):
                raise MemoryError
            return PyMemoryView_FromMemory(<char*>self.unfinished.ptr + self.unfinished.len,
                                           self.unfinished.capacity - self.unfinished.len, PyBUF_WRITE)
        self.shared.allocate()
        if self.unfinished.len:
            memcpy(self.shared.ptr, self.unfinished.ptr, <size_t>self.unfinished.len)
        return PyMemoryView_FromMemory(<char*>self.shared.ptr + self.unfinished.len,
                                       self.shared.size - self.unfinished.len, PyBUF_WRITE)

    def buffer_updated(self, Py_ssize_t nbytes):
        cdef Py_ssize_t length = self.unfinished.len + nbytes
        cdef uint8_t* data = self.unfinished.ptr if self.direct else self.shared.ptr
        cdef Py_ssize_t at = 0
        cdef int64_t now = now_ms()
        cdef bint nested = self.shared.busy
        self.shared.busy = True
        self.begins()
        try:
            self._frames(data, length, &at, now)
        except Exception:
            logger.exception("closing a connection: what it sent could not be served")
            self.violation(INTERNAL_ERROR, "")
        finally:
            self.shared.busy = nested
            try:
                self._keep(data + at, 0 if self.broken or self.transport is None else length - at)
            finally:
                self.served(now)

    cdef Py_ssize_t _missing(self) noexcept:
        """Bytes until the frame in `unfinished` is complete, if its header is there."""
        cdef lm_frame frame
        cdef int header = lm_read_frame_header(self.unfinished.ptr, <size_t>self.unfinished.len, self.masked, &frame)
        return <Py_ssize_t>frame.length + header - self.unfinished.len

    cdef int _frames(self, uint8_t* data, Py_ssize_t length, Py_ssize_t* at, int64_t now) except -1:
        """Takes all complete frames; `at` is where the first that was not taken begins."""
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
            release(&self.unfinished)
            return 0
        if self.direct:
            memmove(self.unfinished.ptr, data, <size_t>length)
            self.unfinished.len = length
            return 0
        self.unfinished.len = 0
        if not reserve(&self.unfinished, length):
            raise MemoryError
        append(&self.unfinished, data, length)
        return 0

    # -- memory --------------------------------------------------------------------------------------------------

    @property
    def pending(self):
        """Bytes of a frame that has begun to arrive and is not there yet; 0 where picows' buffer cannot be reached."""
        if self.taken or self.handed is None:
            return self.unfinished.len
        return self.handed.size - len(self.protocol.get_buffer(-1))

    @property
    def read_capacity(self):
        """Bytes of memory that this connection is read into and shares with none; 0 where it cannot be reached."""
        return self._read_capacity()

    cdef Py_ssize_t _read_capacity(self) noexcept:
        return self.unfinished.capacity + (0 if self.handed is None else self.handed.capacity)

    def trim(self):
        """Gives back what a large frame or a burst left behind.

        To be called now and then, not while a frame is being served, which may point into it. A link that picows still
        reads and that has had no frame since the last call keeps the least.

        Returns:
            How many bytes.
        """
        cdef bint quiet = self.work == self.trimmed_at
        cdef Py_ssize_t before = self._read_capacity()
        self.trimmed_at = self.work
        if self.taken:
            self._shrink()
        elif quiet:
            self.rest()
        elif before > GROWN_BYTES:
            self._give_back(GIVEN_BACK_BYTES)
        return before - self._read_capacity()

    def rest(self):
        """Keeps the least memory that can still be read into; for a link that nothing may come from for long."""
        cdef WSTransport transport = self.transport
        self._give_back(QUIET_BYTES)
        if transport is not None and transport._write_buffer.capacity > SPARE_BYTES:
            transport._write_buffer._reserve(-SPARE_BYTES)  # it adds twice that; only pongs and close frames use it

    cdef int _give_back(self, Py_ssize_t size) except -1:
        """Leaves picows `size` bytes, a multiple of 256, if what is in its buffer fills no more than half of that."""
        cdef MemoryBuffer buffer = self.handed
        if buffer is not None and buffer.capacity > size + SPARE_BYTES and self.pending <= size // 2:
            buffer._reserve(size - SPARE_BYTES)     # it adds twice that
            buffer.size = size                      # as picows leaves it
        return 0

    cdef int _shrink(self) except -1:
        """Keeps the bytes that wait and nothing of picows' buffer, which is not read into any more."""
        cdef uint8_t* smaller
        cdef WSTransport transport = self.transport
        if self.handed is not None:
            self.handed._reserve(-SPARE_BYTES)
            self.handed.size = 0
            self.handed = None
        if transport is not None and transport._write_buffer.capacity > SPARE_BYTES:
            transport._write_buffer._reserve(-SPARE_BYTES)
        if self.unfinished.capacity > max(QUIET_BYTES, 2 * self.unfinished.len):
            smaller = <uint8_t*>PyMem_RawRealloc(self.unfinished.ptr, <size_t>max(1, self.unfinished.len))
            if smaller != NULL:
                self.unfinished.ptr = smaller
                self.unfinished.capacity = max(1, self.unfinished.len)
        return 0


cdef MemoryBuffer _read_buffer_of(protocol):
    """Picows' read buffer, which has no public name."""
    if READS_WHEN_READY:
        for part in gc.get_referents(protocol):
            if isinstance(part, MemoryBuffer):
                return part
    return None
