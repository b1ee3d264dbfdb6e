"""One JSON object, subprotocol lexmesh.v1.json, to an Envelope."""

from libc.stdint cimport INT64_MAX, UINT32_MAX, int64_t, uint8_t, uint32_t, uint64_t

from lexmesh._envelope cimport (
    HAS_DEPTH, HAS_EPOCH, HAS_METADATA, HAS_PAYLOAD, HAS_PRIORITY, HAS_REPLY_TO, HAS_SEQ, HAS_SOURCE, HAS_TARGET,
    HAS_TIMESTAMP, HAS_TTL, HAS_TYPE, JSON_VALUE, NO_PAYLOAD, Envelope, Scratch, decimal, read_string,
)
from lexmesh._json_text cimport skip_space
from lexmesh._span cimport (
    BAD_ID, BAD_JSON, DUPLICATE_KEY, METADATA_NOT_TEXT, NO_TYPE, NOT_AN_OBJECT, OK, OUT_OF_RANGE, TRAILING, TRUNCATED,
    UNKNOWN_FIELD, WRONG_TYPE, Span, Status, is_literal, same, span,
)

cdef extern from "text.h" nogil:
    bint lm_eight_digits(const uint8_t* ptr, uint64_t* value) noexcept

cdef enum:
    HAS_ID = 1 << 31    # the member `id`, which holds source, epoch and seq


cdef inline Status json_integer(const uint8_t** cursor, const uint8_t* end, uint64_t most, int64_t* value) noexcept nogil:
    """Reads an integer from -`most` (only if `most` is INT64_MAX, else from 0) to `most`."""
    cdef const uint8_t* at = cursor[0]
    cdef bint negative = at < end and at[0] == c'-'
    cdef uint64_t magnitude = 0
    cdef const uint8_t* first
    if negative:
        at += 1
    first = at
    while end - at >= 8 and lm_eight_digits(at, &magnitude):
        at += 8
    while at < end and c'0' <= at[0] <= c'9':
        at += 1
    if at == first or (at < end and (at[0] == c'.' or (at[0] | 0x20) == c'e')):
        return WRONG_TYPE
    if not decimal(first, at - first, &magnitude) or magnitude > most + negative:
        return OUT_OF_RANGE
    if negative and magnitude != 0 and most != <uint64_t>INT64_MAX:
        return OUT_OF_RANGE
    value[0] = <int64_t>(0 - magnitude) if negative else <int64_t>magnitude
    cursor[0] = at
    return OK


cdef uint32_t json_field(Span key) noexcept nogil:
    """The field bit of an envelope key, 0 for a key that is none."""
    if key.len == 2 and is_literal(key, "id", 2):
        return <uint32_t>HAS_ID
    if key.len == 3 and is_literal(key, "ttl", 3):
        return HAS_TTL
    if key.len == 4:
        if is_literal(key, "type", 4):
            return HAS_TYPE
        if is_literal(key, "data", 4):
            return HAS_PAYLOAD
    if key.len == 5 and is_literal(key, "depth", 5):
        return HAS_DEPTH
    if key.len == 8:
        if is_literal(key, "metadata", 8):
            return HAS_METADATA
        if is_literal(key, "priority", 8):
            return HAS_PRIORITY
        if is_literal(key, "reply_to", 8):
            return HAS_REPLY_TO
    if key.len == 9 and is_literal(key, "timestamp", 9):
        return HAS_TIMESTAMP
    if key.len == 11:
        if is_literal(key, "source_node", 11):
            return HAS_SOURCE
        if is_literal(key, "target_node", 11):
            return HAS_TARGET
    return 0


cdef Status decode_json(Scratch scratch, Envelope* env, const uint8_t** cursor) noexcept nogil:
    cdef const uint8_t* end = env.raw.ptr + env.raw.len
    cdef Span id = span(NULL, 0)
    cdef Span source
    cdef Status status
    skip_space(cursor, end)
    if cursor[0] >= end:
        return TRUNCATED
    if cursor[0][0] != c'{':
        return NOT_AN_OBJECT
    cursor[0] += 1
    skip_space(cursor, end)
    if cursor[0] < end and cursor[0][0] == c'}':
        return NO_TYPE
    while True:
        status = json_member(scratch, env, cursor, end, &id)
        if status != OK:
            return status
        if cursor[0] >= end:
            return TRUNCATED
        if cursor[0][0] == c'}':
            break
        if cursor[0][0] != c',':
            return BAD_JSON
        cursor[0] += 1
        skip_space(cursor, end)
    cursor[0] += 1
    skip_space(cursor, end)
    if cursor[0] != end:
        return TRAILING
    if env.has & <uint32_t>HAS_ID:
        if not scratch.split_id(id, &source, &env.epoch, &env.seq):
            return BAD_ID
        if env.has & HAS_SOURCE and not same(source, env.source_node):
            return BAD_ID
        env.source_node = source
        env.has = (env.has | HAS_SOURCE | HAS_EPOCH | HAS_SEQ) & ~<uint32_t>HAS_ID
    return OK


cdef Status json_member(Scratch scratch, Envelope* env, const uint8_t** cursor, const uint8_t* end, Span* id) noexcept nogil:
    """Reads `"key": value` and the space after it."""
    cdef const uint8_t* key_at = cursor[0]
    cdef Span key
    cdef uint32_t field
    cdef Status status
    if cursor[0] >= end:
        return TRUNCATED
    if cursor[0][0] != c'"':
        return BAD_JSON
    status = read_string(scratch, cursor, end, &key)
    if status != OK:
        return status
    field = json_field(key)
    if field == 0 or env.has & field:
        cursor[0] = key_at
        return DUPLICATE_KEY if field else UNKNOWN_FIELD
    env.has |= field
    skip_space(cursor, end)
    if cursor[0] >= end:
        return TRUNCATED
    if cursor[0][0] != c':':
        return BAD_JSON
    cursor[0] += 1
    skip_space(cursor, end)
    status = json_value(scratch, env, field, cursor, end, id)
    if status == OK:
        skip_space(cursor, end)
    return status


cdef Status json_value(Scratch scratch, Envelope* env, uint32_t field, const uint8_t** cursor, const uint8_t* end,
                        Span* id) noexcept nogil:
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
    if field & (HAS_DEPTH | HAS_TTL | HAS_PRIORITY):
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
    if start >= end:
        return TRUNCATED
    if start[0] != c'"':
        return WRONG_TYPE
    if field == HAS_TYPE:
        return read_string(scratch, cursor, end, &env.event_type)
    if field == HAS_SOURCE:
        return read_string(scratch, cursor, end, &env.source_node)
    if field == HAS_TARGET:
        return read_string(scratch, cursor, end, &env.target_node)
    if field == HAS_REPLY_TO:
        return read_string(scratch, cursor, end, &env.reply_to)
    return read_string(scratch, cursor, end, id)


cdef Status json_metadata(Scratch scratch, Envelope* env, const uint8_t** cursor, const uint8_t* end) noexcept nogil:
    cdef Py_ssize_t first = scratch.walker.key_count
    cdef Span key, value
    cdef Status status
    if cursor[0] >= end:
        return TRUNCATED
    if cursor[0][0] != c'{':
        return METADATA_NOT_TEXT
    cursor[0] += 1
    skip_space(cursor, end)
    if cursor[0] < end and cursor[0][0] == c'}':
        cursor[0] += 1
        return OK
    while True:
        if cursor[0] >= end:
            return TRUNCATED
        if cursor[0][0] != c'"':
            return BAD_JSON
        status = read_string(scratch, cursor, end, &key)
        if status != OK:
            return status
        skip_space(cursor, end)
        if cursor[0] >= end:
            return TRUNCATED
        if cursor[0][0] != c':':
            return BAD_JSON
        cursor[0] += 1
        skip_space(cursor, end)
        if cursor[0] >= end:
            return TRUNCATED
        if cursor[0][0] != c'"':
            return METADATA_NOT_TEXT
        status = read_string(scratch, cursor, end, &value)
        if status == OK:
            status = scratch.add_pair(env, key, value)
        if status != OK:
            return status
        skip_space(cursor, end)
        if cursor[0] >= end:
            return TRUNCATED
        if cursor[0][0] == c'}':
            cursor[0] += 1
            return scratch.walker.distinct(first)
        if cursor[0][0] != c',':
            return BAD_JSON
        cursor[0] += 1
        skip_space(cursor, end)
