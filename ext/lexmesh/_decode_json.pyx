"""One JSON object, subprotocol lexmesh.v1.json, to an Envelope."""

from libc.stdint cimport INT64_MAX, UINT32_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from lexmesh._envelope cimport (
    HAS_DEPTH, HAS_EPOCH, HAS_METADATA, HAS_PAYLOAD, HAS_PRIORITY, HAS_REPLY_TO, HAS_SEQ, HAS_SOURCE, HAS_TARGET,
    HAS_TIMESTAMP, HAS_TTL, HAS_TYPE, JSON_VALUE, MAX_MEMBERS, NO_PAYLOAD, Envelope, Scratch, read_string,
)
from lexmesh._json_text cimport after_space
from lexmesh._span cimport (
    BAD_ID, BAD_JSON, DUPLICATE_KEY, METADATA_NOT_TEXT, NO_TYPE, NOT_AN_OBJECT, OK, OUT_OF_RANGE, TRAILING, TRUNCATED,
    UNKNOWN_FIELD, WRONG_TYPE, Span, Status, is_literal, same_name, span,
)

cdef extern from "text.h" nogil:
    bint lm_eight_digits(const uint8_t* ptr, uint64_t* value) noexcept
    bint lm_begins16(const uint8_t* ptr, const uint8_t* expected, size_t length) noexcept

cdef enum:
    HAS_ID = 1 << 31    # the member `id`, which holds source, epoch and seq
    TEXTS = 1 << 31 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 12    # the members that are texts
    MOST_DIGITS = 19    # of an integer that fits 64 bits, whatever they are; INT64_MAX has as many


cdef inline Status json_integer(const uint8_t** cursor, const uint8_t* end, uint64_t most, int64_t* value) noexcept nogil:
    """Reads an integer from -`most` (only if `most` is INT64_MAX, else from 0) to `most`."""
    cdef const uint8_t* at = cursor[0]
    cdef bint negative = at < end and at[0] == c'-'
    cdef uint64_t magnitude = 0
    cdef uint64_t eight
    cdef const uint8_t* first
    if negative:
        at += 1
    first = at
    while end - at >= 8 and lm_eight_digits(at, &eight):
        magnitude = magnitude * 100000000 + eight
        at += 8
    while at < end and c'0' <= at[0] <= c'9':
        magnitude = magnitude * 10 + at[0] - c'0'
        at += 1
    if at == first or (at < end and (at[0] == c'.' or (at[0] | 0x20) == c'e')):
        return WRONG_TYPE
    if (first[0] == c'0' and at - first > 1) or at - first > MOST_DIGITS or magnitude > most + negative:
        return OUT_OF_RANGE
    if negative and magnitude != 0 and most != <uint64_t>INT64_MAX:
        return OUT_OF_RANGE
    value[0] = <int64_t>(0 - magnitude) if negative else <int64_t>magnitude
    cursor[0] = at
    return OK


cdef inline uint32_t json_field(Span key) noexcept nogil:
    """The field bit of an envelope key, 0 for a key that is none."""
    if key.len == 4:
        if is_literal(key, "type", 4):
            return HAS_TYPE
        return HAS_PAYLOAD if is_literal(key, "data", 4) else 0
    if key.len == 8:
        if is_literal(key, "metadata", 8):
            return HAS_METADATA
        if is_literal(key, "priority", 8):
            return HAS_PRIORITY
        return HAS_REPLY_TO if is_literal(key, "reply_to", 8) else 0
    if key.len == 11:
        if is_literal(key, "source_node", 11):
            return HAS_SOURCE
        return HAS_TARGET if is_literal(key, "target_node", 11) else 0
    if key.len == 2:
        return <uint32_t>HAS_ID if is_literal(key, "id", 2) else 0
    if key.len == 9:
        return HAS_TIMESTAMP if is_literal(key, "timestamp", 9) else 0
    if key.len == 5:
        return HAS_DEPTH if is_literal(key, "depth", 5) else 0
    return HAS_TTL if key.len == 3 and is_literal(key, "ttl", 3) else 0


cdef Status decode_json(Scratch scratch, Envelope* env, const uint8_t** cursor) noexcept nogil:
    cdef const uint8_t* end = env.raw.ptr + env.raw.len
    cdef const uint8_t* at = after_space(cursor[0], end)
    cdef Span id = span(NULL, 0)
    cdef int index = 0
    cdef Status status
    cursor[0] = at
    if at >= end:
        return TRUNCATED
    if at[0] != c'{':
        return NOT_AN_OBJECT
    at += 1
    cursor[0] = after_space(at, end)
    if cursor[0] < end and cursor[0][0] == c'}':
        return NO_TYPE
    while True:
        cursor[0] = at
        status = json_member(scratch, env, cursor, end, index, &id)
        if status != OK:
            return status
        index += 1
        at = cursor[0]
        if at >= end or at[0] != c',':
            at = after_space(at, end)
            if at >= end or at[0] != c',':
                break
        at += 1
    cursor[0] = at
    if at >= end:
        return TRUNCATED
    if at[0] != c'}':
        return BAD_JSON
    cursor[0] = after_space(at + 1, end)
    if cursor[0] != end:
        return TRAILING
    return json_id(scratch, env, id) if env.has & <uint32_t>HAS_ID else OK


cdef inline Status json_id(Scratch scratch, Envelope* env, Span id) noexcept nogil:
    """Takes apart an id, `source:epoch:seq` of the message's own source."""
    cdef Span source
    if not scratch.split_id(id, &source, &env.epoch, &env.seq):
        return BAD_ID
    if env.has & HAS_SOURCE and not same_name(source, env.source_node):
        return BAD_ID
    env.source_node = source
    env.has = (env.has | HAS_SOURCE | HAS_EPOCH | HAS_SEQ) & ~<uint32_t>HAS_ID
    return OK


cdef Status json_key(Scratch scratch, const Envelope* env, const uint8_t** cursor, const uint8_t* end,
                     uint32_t* field) noexcept nogil:
    """Reads `"key": ` of a member that is not there yet, and the space around it."""
    cdef const uint8_t* at = after_space(cursor[0], end)
    cdef Span key
    cdef Status status
    cursor[0] = at
    if at >= end:
        return TRUNCATED
    if at[0] != c'"':
        return BAD_JSON
    status = read_string(scratch, cursor, end, &key)
    if status != OK:
        return status
    field[0] = json_field(key)
    if field[0] == 0 or env.has & field[0]:
        cursor[0] = at
        return DUPLICATE_KEY if field[0] else UNKNOWN_FIELD
    at = after_space(cursor[0], end)
    if at >= end or at[0] != c':':
        cursor[0] = at
        return TRUNCATED if at >= end else BAD_JSON
    cursor[0] = after_space(at + 1, end)
    return OK


cdef inline Status json_member(Scratch scratch, Envelope* env, const uint8_t** cursor, const uint8_t* end, int index,
                               Span* id) noexcept nogil:
    """Reads `"key": value` and the space before it; `index`: how many members stand before it.

    Most have the key of the member that stood in their place in the last message.
    """
    cdef const uint8_t* at = cursor[0]
    cdef uint32_t field
    cdef Status status
    if index < MAX_MEMBERS and end - at >= 16 and lm_begins16(
            at, scratch.members[index].text, scratch.members[index].len):
        field = scratch.members[index].field
        if env.has & field:
            cursor[0] = after_space(at, end)
            return DUPLICATE_KEY
        at += scratch.members[index].len
    else:
        status = json_key(scratch, env, cursor, end, &field)
        if status != OK:
            return status
        if index < MAX_MEMBERS and cursor[0] - at <= 16:
            memcpy(scratch.members[index].text, at, <size_t>(cursor[0] - at))
            scratch.members[index].len = <uint8_t>(cursor[0] - at)
            scratch.members[index].field = field
        at = cursor[0]
    env.has |= field
    cursor[0] = at = after_space(at, end)
    if not field & <uint32_t>TEXTS:
        return json_value(scratch, env, field, cursor, end)
    if at >= end:
        return TRUNCATED
    if at[0] != c'"':
        return WRONG_TYPE
    return read_string(scratch, cursor, end, text_field(env, field, id))


cdef inline Span* text_field(Envelope* env, uint32_t field, Span* id) noexcept nogil:
    """Where the text of one of TEXTS goes."""
    if field == HAS_TYPE:
        return &env.event_type
    if field == HAS_SOURCE:
        return &env.source_node
    if field == <uint32_t>HAS_ID:
        return id
    return &env.target_node if field == HAS_TARGET else &env.reply_to


cdef inline Status json_value(Scratch scratch, Envelope* env, uint32_t field, const uint8_t** cursor,
                              const uint8_t* end) noexcept nogil:
    """Reads the value of a field that is no text."""
    cdef const uint8_t* start = cursor[0]
    cdef int64_t number = 0
    cdef Status status
    if field == HAS_PAYLOAD:
        status = scratch.walker.value(cursor, end, 0)
        env.payload = span(start, cursor[0] - start)
        env.payload_kind = NO_PAYLOAD if is_literal(env.payload, "null", 4) else JSON_VALUE
        return status
    if field == HAS_METADATA:
        return json_metadata(scratch, env, cursor, end)
    if field == HAS_TIMESTAMP:
        return json_integer(cursor, end, <uint64_t>INT64_MAX, &env.timestamp)
    status = json_integer(cursor, end, UINT32_MAX, &number)
    if field == HAS_DEPTH:
        env.depth = <uint32_t>number
        env.depth_at = start - env.raw.ptr
        env.depth_len = cursor[0] - start
    elif field == HAS_TTL:
        env.ttl_ms = <uint32_t>number
    else:
        env.priority = <uint32_t>number
    return status


cdef Status json_metadata(Scratch scratch, Envelope* env, const uint8_t** cursor, const uint8_t* end) noexcept nogil:
    cdef Py_ssize_t first = scratch.walker.key_count
    cdef const uint8_t* at = cursor[0]
    cdef Span key, value
    cdef Status status
    if at >= end:
        return TRUNCATED
    if at[0] != c'{':
        return METADATA_NOT_TEXT
    at = after_space(at + 1, end)
    if at < end and at[0] == c'}':
        cursor[0] = at + 1
        return OK
    while True:
        cursor[0] = at
        if at >= end:
            return TRUNCATED
        if at[0] != c'"':
            return BAD_JSON
        status = read_string(scratch, cursor, end, &key)
        if status != OK:
            return status
        at = after_space(cursor[0], end)
        if at >= end or at[0] != c':':
            cursor[0] = at
            return TRUNCATED if at >= end else BAD_JSON
        cursor[0] = at = after_space(at + 1, end)
        if at >= end:
            return TRUNCATED
        if at[0] != c'"':
            return METADATA_NOT_TEXT
        status = read_string(scratch, cursor, end, &value)
        if status == OK:
            status = scratch.add_pair(env, key, value)
        if status != OK:
            return status
        at = after_space(cursor[0], end)
        if at >= end or at[0] != c',':
            break
        at = after_space(at + 1, end)
    cursor[0] = at
    if at >= end:
        return TRUNCATED
    if at[0] != c'}':
        return BAD_JSON
    cursor[0] = at + 1
    return scratch.walker.distinct(first)
