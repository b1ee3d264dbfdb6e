"""The inbound half of a link: WebSocket frames to messages to the pipeline."""

from libc.stdint cimport int64_t

from picows.picows cimport MemoryBuffer, WSFrame, WSListener, WSTransport

from lexmesh._bucket cimport TokenBucket
from lexmesh._buffer cimport Buffer
from lexmesh._outbox cimport Outbox
from lexmesh._pipeline cimport Core
from lexmesh._span cimport Span

cdef enum:
    BATCH_MARGIN = 65536    # bytes that a batch may have over max_message_size
    MAX_PONGS = 1024        # pings answered while the peer reads none of the answers


cdef class Link(WSListener):
    cdef Core core
    cdef readonly Outbox outbox
    cdef readonly WSTransport transport
    cdef object owner
    cdef Buffer partial             # fragments of a message so far
    cdef int partial_type           # its opcode; 0 when no message is in parts
    cdef Py_ssize_t partial_whole   # bytes of `partial` that are known to be whole UTF-8 characters
    cdef int fragments
    cdef int max_fragments
    cdef int pongs                  # sent since the peer last took all that was written
    cdef bint closing               # a close frame went out: what still arrives is not looked at
    cdef readonly int64_t work      # frames and events of batches so far
    cdef int64_t trimmed_at         # `work` when memory was last given back
    cdef int64_t paid               # of `work`, what the bucket has been charged
    cdef TokenBucket bucket         # None: as fast as it comes
    cdef MemoryBuffer read_buffer   # the frame layer's; None where it cannot be reached
    cdef object protocol            # the frame layer's, which fills that buffer

    cdef int _serve(self, WSTransport transport, WSFrame frame) except -1
    cdef int _fragment(self, WSFrame frame) except -1
    cdef int _message(self, int opcode, Span payload) except -1
    cdef int _batch(self, Span batch) except -1
    cdef inline Py_ssize_t _largest(self, int opcode) noexcept
    cdef int _pong(self, WSTransport transport, WSFrame frame) except -1
    cdef int _charge(self) except -1
    cdef int _too_big(self, int opcode) except -1
    cdef int _not_utf8(self) except -1
    cdef int _closed_by_peer(self, int code, object reason, Py_ssize_t size) except -1
    cdef int _give_back(self, Py_ssize_t size) except -1
    cdef int _close(self, int code, str reason) except -1
