"""Writes a routed message in the formats that its recipients want, framed, so that each of them only copies bytes."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from lexmesh._buffer cimport release, reserve
from lexmesh._emit cimport emit_json, emit_proto
from lexmesh._envelope cimport JSON, PROTO, Envelope, Format
from lexmesh._span cimport Span, put_varint, span

cdef extern from "frame.h" nogil:
    size_t lm_frame_header(uint8_t* out, uint8_t opcode, uint64_t length, int masked, uint32_t mask) noexcept

cdef enum:
    TEXT = 1
    BATCH_ELEMENT = 0x0A    # tag of Batch.events


cdef void start_relay(Relay* relay, const Envelope* env) noexcept nogil:
    """Begins with another message."""
    relay.env = env
    relay.copies[<int>JSON].written = relay.copies[<int>PROTO].written = False


cdef bint write_copy(Relay* relay, Format format) noexcept nogil:
    """Writes the message in a format; False when memory is out."""
    cdef Copy* copy = &relay.copies[<int>format]
    cdef uint8_t head[MOST_HEAD]
    cdef Py_ssize_t length
    copy.buffer.len = 0
    if not reserve(&copy.buffer, MOST_HEAD):
        return False
    copy.buffer.len = MOST_HEAD
    if not (emit_proto(relay.env, &copy.buffer) if format == PROTO else emit_json(relay.env, &copy.buffer)):
        return False
    length = copy.buffer.len - MOST_HEAD
    if format == PROTO:
        head[0] = BATCH_ELEMENT
        copy.head = put_varint(head + 1, <uint64_t>length) - head
    else:
        copy.head = <Py_ssize_t>lm_frame_header(head, TEXT, <uint64_t>length, False, 0)
    memcpy(copy.buffer.ptr + MOST_HEAD - copy.head, head, <size_t>copy.head)
    copy.written = True
    return True


cdef Span unframed(const Relay* relay, Format format) noexcept nogil:
    """The message alone, once it has been framed."""
    cdef const Copy* copy = &relay.copies[<int>format]
    return span(copy.buffer.ptr + MOST_HEAD, copy.buffer.len - MOST_HEAD)


cdef void release_relay(Relay* relay) noexcept nogil:
    release(&relay.copies[<int>JSON].buffer)
    release(&relay.copies[<int>PROTO].buffer)
