"""The small messages of InternodeService, written and read without generated classes."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from lexmesh._envelope cimport MAX_NAME
from lexmesh._span cimport (
    BAD_UTF8, BAD_VARINT, BAD_WIRE_TYPE, OK, OUT_OF_RANGE, REPEATED_FIELD, TRUNCATED, UNKNOWN_FIELD, Span, Status,
    get_varint, is_utf8, put_varint, span, varint_size,
)
from lexmesh._status cimport malformed

cdef enum:
    FLAG = 0x08         # tags: field 1 as a varint, fields 1 to 3 as bytes, fields 3 and 4 as varints
    NODE_ID = 0x0A
    SECOND = 0x12
    THIRD = 0x1A
    THIRD_NUMBER = 0x18
    FOURTH_NUMBER = 0x20


cdef inline Py_ssize_t text_size(Span text) noexcept nogil:
    return 0 if text.len == 0 else 1 + varint_size(<uint64_t>text.len) + text.len


cdef inline uint8_t* put_text(uint8_t* at, uint8_t tag, Span text) noexcept nogil:
    if text.len == 0:
        return at
    at[0] = tag
    at = put_varint(at + 1, <uint64_t>text.len)
    memcpy(at, text.ptr, <size_t>text.len)
    return at + text.len


cdef bytes answer(bint flag, Span second, Span third, uint8_t number_tag, uint64_t number):
    """One message of a flag, one or two texts and a number; what is zero or empty is left out, as proto3 does."""
    cdef Py_ssize_t size = 2 * flag + text_size(second) + text_size(third) + (1 + varint_size(number) if number else 0)
    cdef bytes message = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t* at = <uint8_t*>PyBytes_AS_STRING(message)
    if flag:
        at[0] = FLAG
        at[1] = 1
        at += 2
    at = put_text(at, SECOND, second)
    at = put_text(at, THIRD, third)
    if number:
        at[0] = number_tag
        put_varint(at + 1, number)
    return message


cdef bytes event_response(bint success, Span message, int64_t timestamp):
    """One EventResponse."""
    return answer(success, message, span(NULL, 0), THIRD_NUMBER, <uint64_t>timestamp)


cdef bytes data_response(bint success, Span message, Span response_id, int64_t timestamp):
    """One DataResponse."""
    return answer(success, message, response_id, FOURTH_NUMBER, <uint64_t>timestamp)


cdef inline Span bytes_span(bytes data):
    return span(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


def encode_health(bint healthy, str node_id not None, str status not None, int64_t uptime):
    """One HealthResponse.

    Args:
        healthy: whether the node takes in messages.
        node_id: who answers.
        status: active, dormant or unknown.
        uptime: seconds since the node's start.

    Returns:
        The serialised message.
    """
    cdef bytes name = node_id.encode()
    cdef bytes state = status.encode()
    return answer(healthy, bytes_span(name), bytes_span(state), FOURTH_NUMBER, <uint64_t>uptime)


cdef Status read_node_id(const uint8_t** cursor, const uint8_t* end, Span* text) noexcept nogil:
    """Reads the one field of a HealthRequest."""
    cdef uint64_t value
    cdef Py_ssize_t step = get_varint(cursor[0], end, &value)
    if step == 0:
        return BAD_VARINT
    if value != NODE_ID:
        return BAD_WIRE_TYPE if value >> 3 == 1 else UNKNOWN_FIELD
    cursor[0] += step
    step = get_varint(cursor[0], end, &value)
    if step == 0:
        return BAD_VARINT
    if value > <uint64_t>(end - cursor[0] - step):
        return TRUNCATED
    text[0] = span(cursor[0] + step, <Py_ssize_t>value)
    cursor[0] += step + text.len
    if text.len > MAX_NAME:
        return OUT_OF_RANGE
    return OK if is_utf8(text[0]) else BAD_UTF8


def decode_health_request(bytes message not None):
    """The node that a HealthRequest asks for.

    Args:
        message: the serialised request.

    Returns:
        Its name; empty for the one that is asked.

    Raises:
        MalformedError: with the reason and the byte where it showed.
    """
    cdef Span raw = bytes_span(message)
    cdef const uint8_t* at = raw.ptr
    cdef Span text = span(NULL, 0)
    cdef Status status = OK
    if raw.len:
        status = read_node_id(&at, raw.ptr + raw.len, &text)
        if status == OK and at < raw.ptr + raw.len:
            status = REPEATED_FIELD if at[0] == NODE_ID else UNKNOWN_FIELD
    if status != OK:
        raise malformed(status, at - raw.ptr)
    return text.ptr[:text.len].decode() if text.len else ""
