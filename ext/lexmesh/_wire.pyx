"""Small protobuf messages of calls: a question about health, and the fields of any answer."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from lexmesh._span cimport BAD_VARINT, TRUNCATED, UNKNOWN_FIELD, get_varint, put_varint
from lexmesh._status cimport malformed

cdef enum:
    VARINT = 0          # wire types, https://protobuf.dev/programming-guides/encoding/#structure
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5
    NODE_ID = 0x0A      # tag of HealthRequest.node_id


def encode_health_request(str node_id not None):
    """One HealthRequest.

    Args:
        node_id: the node that is asked for; the one that answers when empty.

    Returns:
        The serialised message.
    """
    cdef bytes name = node_id.encode()
    cdef uint8_t head[11]
    cdef uint8_t* end
    if not name:
        return b""
    head[0] = NODE_ID
    end = put_varint(head + 1, <uint64_t>len(name))
    return head[:end - head] + name


def fields_of(bytes message not None):
    """The fields of a message, whatever it is, by number.

    Args:
        message: serialised.

    Returns:
        A dict: varints as int without a sign, 64-bit fields as float, the rest as bytes; the last of a repeated field.

    Raises:
        MalformedError: if it breaks off, or holds groups.
    """
    cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(message)
    cdef const uint8_t* end = start + PyBytes_GET_SIZE(message)
    cdef const uint8_t* at = start
    cdef uint64_t tag = 0
    cdef uint64_t value = 0
    cdef double number = 0
    cdef Py_ssize_t step
    cdef dict found = {}
    while at < end:
        step = get_varint(at, end, &tag)
        if step == 0:
            raise malformed(BAD_VARINT, at - start)
        at += step
        if tag & 7 == VARINT or tag & 7 == BYTES:
            step = get_varint(at, end, &value)
            if step == 0:
                raise malformed(BAD_VARINT, at - start)
            at += step
            if tag & 7 == VARINT:
                found[tag >> 3] = value
                continue
        elif tag & 7 == FIXED64:
            value = 8
        elif tag & 7 == FIXED32:
            value = 4
        else:
            raise malformed(UNKNOWN_FIELD, at - start)
        if value > <uint64_t>(end - at):
            raise malformed(TRUNCATED, at - start)
        if tag & 7 == FIXED64:
            memcpy(&number, at, 8)
            found[tag >> 3] = number
        else:
            found[tag >> 3] = PyBytes_FromStringAndSize(<const char*>at, <Py_ssize_t>value)
        at += value
    return found
