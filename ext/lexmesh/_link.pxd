"""The inbound half of a link: WebSocket frames to messages to the pipeline."""

from libc.stdint cimport int64_t, uint8_t

from lexmesh._bucket cimport TokenBucket
from lexmesh._buffer cimport Buffer
from lexmesh._outbox cimport Outbox
from lexmesh._pipeline cimport Core
from lexmesh._reader cimport Reader
from lexmesh._span cimport Span

cdef enum:
    BATCH_MARGIN = 65536    # bytes that a batch may have over max_message_size
    MAX_PONGS = 1024        # pings answered while the peer reads none of the answers


cdef class Link(Reader):
    cdef Core core
    cdef readonly Outbox outbox
    cdef object owner
    cdef Buffer partial             # fragments of a message so far
    cdef int partial_type           # its opcode; 0 when no message is in parts
    cdef Py_ssize_t partial_whole   # bytes of `partial` that are known to be whole UTF-8 characters
    cdef int fragments
    cdef int max_fragments
    cdef int pongs                  # sent since the peer last took all that was written
    cdef bint closing               # a close frame went out: what still arrives is not looked at
    cdef int64_t paid               # of `work`, what the bucket has been charged
    cdef TokenBucket bucket         # None: as fast as it comes

    cdef int _data(self, int opcode, bint last, Span payload, int64_t now) except -1
    cdef int _fragment(self, Span payload, bint last, int64_t now) except -1
    cdef int _message(self, int opcode, Span payload, int64_t now) except -1
    cdef int _batch(self, Span batch, int64_t now) except -1
    cdef inline Py_ssize_t _largest(self, int opcode) noexcept
    cdef int _pong(self, Span payload) except -1
    cdef int _charge(self, int64_t now) except -1
    cdef int _too_big(self, int opcode) except -1
    cdef int _not_utf8(self) except -1
    cdef int _closed_by_peer(self, Span payload) except -1
    cdef int _ended_by_peer(self, int code, str reason) except -1
    cdef int _refuse_close(self, int code, str reason) except -1
    cdef int _close(self, int code, str reason) except -1
