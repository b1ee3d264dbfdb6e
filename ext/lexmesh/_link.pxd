"""The inbound half of a link: WebSocket frames to messages to the pipeline."""

from libc.stdint cimport int64_t, uint8_t

from picows.picows cimport WSTransport

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
    cdef int fragments
    cdef int max_fragments
    cdef int pongs                  # sent since the peer last took all that was written
    cdef bint closing               # a close frame went out: what still arrives is not looked at

    cdef int _fragment(self, Span payload, bint last, int64_t now) except -1
    cdef int _message(self, int opcode, Span payload, int64_t now) except -1
    cdef int _batch(self, Span batch, int64_t now) except -1
    cdef int _control(self, int opcode, Span payload) except -1
    cdef inline Py_ssize_t _largest(self, int opcode) noexcept
    cdef int _pong(self, Span payload) except -1
    cdef int _closed_by_peer(self, Span payload) except -1
    cdef int _close(self, int code, str reason) except -1
