"""One protobuf EventMessage, of subprotocol lexmesh.v1.proto, to an Envelope."""

from libc.stdint cimport UINT32_MAX, int64_t, uint8_t, uint32_t, uint64_t

from lexmesh._envelope cimport JSON_VALUE, OPAQUE_BYTES, PLAIN_TEXT, Envelope, Scratch
from lexmesh._span cimport (
    BAD_TAG, BAD_UTF8, BAD_VARINT, BAD_WIRE_TYPE, DUPLICATE_KEY, LONE_SURROGATE, NO_MEMORY, OK, OUT_OF_RANGE,
    REPEATED_FIELD, TOO_DEEP, TRUNCATED, UNKNOWN_FIELD, Span, Status, get_varint, is_literal, is_utf8, span,
)

cdef extern from "text.h" nogil:
    bint lm_is_short_ascii(const uint8_t* ptr, size_t length) noexcept

cdef enum:
    VARINT = 0          # wire types (protobuf encoding guide)
    FIXED_64 = 1
    LENGTH = 2
    FIXED_32 = 5
    NUMBERS = 0xFA0     # the fields that are varints: 5 and 7 to 11, bit n for field n
    SINGULAR = 0x3FBE   # all but 6, the metadata
    MAX_HEAD = 5        # bytes of a tag or a length; protobuf's own parsers read no more


cdef inline Status proto_number(Envelope* env, uint32_t number, uint64_t value, const uint8_t* at,
                                Py_ssize_t length) noexcept nogil:
    if number >= 9 and value > UINT32_MAX:
        return OUT_OF_RANGE
    if number == 5:
        env.timestamp = <int64_t>value
    elif number == 7:
        env.epoch = value
    elif number == 8:
        env.seq = value
    elif number == 9:
        env.depth = <uint32_t>value
        env.depth_at = at - env.raw.ptr
        env.depth_len = length
    elif number == 10:
        env.ttl_ms = <uint32_t>value
    else:
        env.priority = <uint32_t>value
    return OK


cdef Status decode_proto(Scratch scratch, Envelope* env, const uint8_t** cursor) noexcept nogil:
    cdef const uint8_t* end = env.raw.ptr + env.raw.len
    cdef const uint8_t* at = cursor[0]
    cdef uint64_t tag, value
    cdef Py_ssize_t step
    cdef uint32_t number
    cdef Status status
    while at < end:
        cursor[0] = at
        number = at[0] >> 3
        if is_short_field(at, end) and not env.has & SINGULAR & (1u << number):
            env.has |= 1u << number
            status = proto_bytes(scratch, env, number, span(at + 2, at[1]))
            at += 2 + at[1]
            if status != OK:
                cursor[0] = at
                return status
            continue
        step = get_varint(at, end, &tag)
        if step == 0 or step > MAX_HEAD:
            return BAD_VARINT
        number = <uint32_t>(tag >> 3)
        if tag > UINT32_MAX or number == 0:
            return BAD_TAG
        if number > 13:
            at += step
            status = skip_unknown(scratch, <int>(tag & 7), &at, end)
            if status != OK:
                return status
            continue
        if env.has & SINGULAR & (1u << number):
            return REPEATED_FIELD
        if <int>(tag & 7) != (<int>VARINT if NUMBERS >> number & 1 else <int>LENGTH):
            return BAD_WIRE_TYPE
        env.has |= 1u << number
        cursor[0] = at = at + step
        step = get_varint(at, end, &value)
        if step == 0:
            return BAD_VARINT
        at += step
        if NUMBERS >> number & 1:
            status = proto_number(env, number, value, at - step, step)
        elif step > MAX_HEAD:
            return BAD_VARINT
        elif value > <uint64_t>(end - at):
            cursor[0] = at
            return TRUNCATED
        else:
            status = proto_bytes(scratch, env, number, span(at, <Py_ssize_t>value))
            at += <Py_ssize_t>value
        if status != OK:
            cursor[0] = at
            return status
    cursor[0] = at
    if env.metadata_count > 1:
        status = scratch.walker.distinct(0)
        if status != OK:
            return status
    return classify_payload(scratch, env)


cdef Status skip_unknown(Scratch scratch, int wire_type, const uint8_t** cursor, const uint8_t* end) noexcept nogil:
    if scratch.takes_unknown == 0:
        return UNKNOWN_FIELD
    scratch.takes_unknown -= 1
    return skip_value(wire_type, cursor, end, NULL)


cdef Status skip_value(int wire_type, const uint8_t** cursor, const uint8_t* end, Span* value) noexcept nogil:
    """Moves on behind the value of a field; `value`, unless NULL, gets its bytes."""
    cdef const uint8_t* at = cursor[0]
    cdef uint64_t length = 8 if wire_type == FIXED_64 else 4
    cdef Py_ssize_t step = 0
    if wire_type == VARINT or wire_type == LENGTH:
        step = get_varint(at, end, &length)
        if step == 0 or (wire_type == LENGTH and step > MAX_HEAD):
            return BAD_VARINT
    elif wire_type != FIXED_64 and wire_type != FIXED_32:
        return BAD_WIRE_TYPE
    at += step
    if wire_type == VARINT:
        length = 0
    if length > <uint64_t>(end - at):
        return TRUNCATED
    if value != NULL:
        value[0] = span(at, <Py_ssize_t>length)
    cursor[0] = at + length
    return OK


cdef inline bint short_tag(uint8_t tag) noexcept nogil:
    """Whether a byte is the tag of field 1, 2, 3, 4 or 6, which hold bytes."""
    return (1ull << 0x0A | 1ull << 0x12 | 1ull << 0x1A | 1ull << 0x22 | 1ull << 0x32) >> tag & 1


cdef inline bint is_short_field(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Whether a field of bytes is there whole, with a tag and a length of one byte each, as most are."""
    return end - at >= 2 and at[0] < 64 and short_tag(at[0]) and at[1] < 0x80 and end - at - 2 >= at[1]


cdef inline bint is_text(Span value) noexcept nogil:
    return lm_is_short_ascii(value.ptr, <size_t>value.len) or is_utf8(value)


cdef inline Status proto_bytes(Scratch scratch, Envelope* env, uint32_t number, Span value) noexcept nogil:
    if number == 4:
        env.payload = value
        return OK
    if number == 6:
        return proto_pair(scratch, env, value)
    if not is_text(value):
        return BAD_UTF8
    if number == 1:
        env.source_node = value
    elif number == 2:
        env.target_node = value
    elif number == 3:
        env.event_type = value
    elif number == 12:
        env.reply_to = value
    else:
        env.content_type = value
    return OK


cdef Status proto_pair(Scratch scratch, Envelope* env, Span entry) noexcept nogil:
    """One map entry: a message with key = 1 and value = 2, either absent when empty."""
    cdef const uint8_t* at = entry.ptr
    cdef const uint8_t* end = entry.ptr + entry.len
    cdef Span fields[2]
    cdef bint seen[2]
    cdef uint64_t tag, length
    cdef Py_ssize_t step
    cdef int which
    if is_short_field(at, end) and at[0] == 0x0A and is_short_field(at + 2 + at[1], end):
        fields[0] = span(at + 2, at[1])
        at += 2 + at[1]
        fields[1] = span(at + 2, at[1])
        if at[0] == 0x12 and at + 2 + at[1] == end:     # key and value, as most are written
            return scratch.add_pair(env, fields[0], fields[1]) if is_text(fields[0]) and is_text(fields[1]) else BAD_UTF8
        at = entry.ptr
    fields[0] = fields[1] = span(at, 0)
    seen[0] = seen[1] = False
    while at < end:
        step = get_varint(at, end, &tag)
        if step == 0 or step > MAX_HEAD:
            return BAD_VARINT
        if tag != 0x0A and tag != 0x12:
            return UNKNOWN_FIELD if tag >> 3 > 2 else BAD_WIRE_TYPE
        which = 0 if tag == 0x0A else 1
        if seen[which]:
            return REPEATED_FIELD
        seen[which] = True
        at += step
        step = get_varint(at, end, &length)
        if step == 0 or step > MAX_HEAD:
            return BAD_VARINT
        at += step
        if length > <uint64_t>(end - at):
            return TRUNCATED
        fields[which] = span(at, <Py_ssize_t>length)
        if not is_text(fields[which]):
            return BAD_UTF8
        at += <Py_ssize_t>length
    return scratch.add_pair(env, fields[0], fields[1])


cdef Status classify_payload(Scratch scratch, Envelope* env) noexcept nogil:
    """Decides what the payload is: JSON if it parses, else text, else opaque.

    A payload that is JSON but breaks a strictness rule (two parsers could read it differently), or that is
    declared JSON and does not parse, is an error.
    """
    cdef Py_ssize_t at
    cdef Status status
    if env.payload.len == 0:
        return OK
    status = scratch.walker.document(env.payload, &at)
    if status == OK:
        env.payload_kind = JSON_VALUE
        return OK
    if status == DUPLICATE_KEY or status == TOO_DEEP or status == LONE_SURROGATE or status == NO_MEMORY:
        return status
    if is_literal(env.content_type, "application/json", 16):
        return status
    env.payload_kind = PLAIN_TEXT if is_utf8(env.payload) else OPAQUE_BYTES
    return OK
