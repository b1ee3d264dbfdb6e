"""One routed message on its way out."""

from lexmesh._buffer cimport Buffer
from lexmesh._envelope cimport Envelope, Format
from lexmesh._span cimport Span

cdef enum:
    MOST_HEAD = 14          # bytes of a WebSocket frame's header; a Batch's tag and length have fewer


cdef struct Copy:
    # The message in one format, with what frames it right before it.
    bint written
    Py_ssize_t head         # bytes of that frame header or tag
    Buffer buffer           # MOST_HEAD bytes, then the message


cdef struct Relay:
    # Written at most once in each format, however many links take it.
    const Envelope* env
    Copy copies[2]          # by Format


cdef void start_relay(Relay* relay, const Envelope* env) noexcept nogil
cdef bint write_copy(Relay* relay, Format format) noexcept nogil
cdef void release_relay(Relay* relay) noexcept nogil
cdef Span unframed(const Relay* relay, Format format) noexcept nogil


cdef inline bint framed(Relay* relay, Format format, Span* out) noexcept nogil:
    """The message as a server sends it: a text frame, or an element of a Batch. False when memory is out.

    Valid until the next message.
    """
    cdef Copy* copy = &relay.copies[<int>format]
    if not copy.written and not write_copy(relay, format):
        return False
    out.ptr = copy.buffer.ptr + MOST_HEAD - copy.head
    out.len = copy.buffer.len - MOST_HEAD + copy.head
    return True
