"""The protobuf Batch: several events in one frame."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from lexmesh._span cimport BAD_VARINT, OK, TRUNCATED, UNKNOWN_FIELD, Span, Status, get_varint, put_varint, span
from lexmesh._status cimport malformed

from lexmesh._codec import StreamEvent
from lexmesh.errors import MalformedError

cdef enum:
    MAX_HEAD = 5        # bytes of a length; protobuf's own parsers read no more


def encode_batch(events):
    """Several events as one protobuf Batch.

    Args:
        events: an iterable of StreamEvent.

    Returns:
        The serialised Batch.
    """
    cdef bytearray out = bytearray()
    cdef uint8_t head[11]
    cdef bytes message
    for event in events:
        message = event.to_proto()
        head[0] = 0x0A
        out += head[:put_varint(head + 1, <uint64_t>len(message)) - head]
        out += message
    return bytes(out)


def decode_batch(bytes batch not None):
    """The events of one protobuf Batch, in order.

    Args:
        batch: the serialised Batch.

    Returns:
        A list of lazily decoded events.

    Raises:
        MalformedError: with the reason and the byte where it showed.
    """
    cdef Span whole = span(<const uint8_t*>PyBytes_AS_STRING(batch), PyBytes_GET_SIZE(batch))
    cdef Span event
    cdef Py_ssize_t at = 0
    cdef Status status
    cdef list events = []
    while at < whole.len:
        status = next_in_batch(whole, &at, &event)
        if status != OK:
            raise malformed(status, at)
        try:
            events.append(StreamEvent.from_proto(event.ptr[:event.len]))
        except MalformedError as error:
            raise MalformedError(error.reason, event.ptr - whole.ptr + error.offset) from None
    return events


cdef Status next_in_batch(Span batch, Py_ssize_t* at, Span* event) noexcept nogil:
    """Finds the event that starts at `at` and moves `at` behind it."""
    cdef const uint8_t* cursor = batch.ptr + at[0]
    cdef const uint8_t* end = batch.ptr + batch.len
    cdef uint64_t length = 0
    cdef Py_ssize_t step
    if cursor[0] != 0x0A:
        return UNKNOWN_FIELD
    step = get_varint(cursor + 1, end, &length)
    if step == 0 or step > MAX_HEAD:
        return BAD_VARINT
    cursor += 1 + step
    if length > <uint64_t>(end - cursor):
        return TRUNCATED
    event[0] = span(cursor, <Py_ssize_t>length)
    at[0] = cursor + length - batch.ptr
    return OK
