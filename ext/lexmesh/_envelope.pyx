"""Decodes one message, JSON or protobuf, into an Envelope of spans, without making a Python object."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport INT64_MAX, UINT32_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from lexmesh._json cimport Walker, skip_space, string, unescape
from lexmesh._span cimport (
    BAD_ID, BAD_JSON, BAD_SUBJECT, BAD_TAG, BAD_UTF8, BAD_VARINT, BAD_WIRE_TYPE, DUPLICATE_KEY, LONE_SURROGATE,
    METADATA_NOT_TEXT, NO_MEMORY, NO_TYPE, NOT_AN_OBJECT, OK, OUT_OF_RANGE, REPEATED_FIELD, TOO_DEEP, TRAILING,
    TRUNCATED, UNKNOWN_FIELD, WRONG_TYPE, Span, Status, get_varint, is_literal, is_utf8, same, span,
)

cdef enum:
    HAS_ID = 1 << 31    # JSON only: the member `id`, which holds source, epoch and seq
    VARINT = 0          # wire types (protobuf encoding guide)
    LENGTH = 2


cdef bint is_subject(Span text) noexcept nogil:
    """Whether `text` is a concrete subject: tokens of printable characters between dots, none of them a wildcard."""
    cdef Py_ssize_t i
    cdef Py_ssize_t token = 0
    cdef uint8_t c
    if text.len == 0 or text.len > MAX_NAME:
        return False
    for i in range(text.len + 1):
        c = text.ptr[i] if i < text.len else c'.'
        if c == c'.':
            if i == token or (i == token + 1 and (text.ptr[token] == c'*' or text.ptr[token] == c'>')):
                return False
            token = i + 1
        elif c <= 0x20 or c == 0x7F:
            return False
    return True


cdef inline bint decimal(const uint8_t* ptr, Py_ssize_t length, uint64_t* value) noexcept nogil:
    """Reads a canonical decimal (no sign, no leading zero) that fits 64 bits."""
    cdef uint64_t result = 0
    cdef uint64_t digit
    cdef Py_ssize_t i
    if length < 1 or length > 20 or (length > 1 and ptr[0] == c'0'):
        return False
    for i in range(length):
        digit = <uint64_t>ptr[i] - c'0'
        if digit > 9 or result > (<uint64_t>-1 - digit) // 10:
            return False
        result = result * 10 + digit
    value[0] = result
    return True


cdef bint parse_id(Span text, Span* source, uint64_t* epoch, uint64_t* seq) noexcept nogil:
    """Splits `source:epoch:seq` from the right, since a source may hold colons."""
    cdef Py_ssize_t second = text.len - 1
    cdef Py_ssize_t first
    while second >= 0 and text.ptr[second] != c':':
        second -= 1
    first = second - 1
    while first >= 0 and text.ptr[first] != c':':
        first -= 1
    if first < 1:
        return False
    source[0] = span(text.ptr, first)
    return (decimal(text.ptr + first + 1, second - first - 1, epoch)
            and decimal(text.ptr + second + 1, text.len - second - 1, seq))


cdef inline Status json_integer(const uint8_t** cursor, const uint8_t* end, uint64_t most, int64_t* value) noexcept nogil:
    """Reads an integer from -`most` (only if `most` is INT64_MAX, else from 0) to `most`."""
    cdef const uint8_t* at = cursor[0]
    cdef bint negative = at < end and at[0] == c'-'
    cdef uint64_t magnitude = 0
    cdef const uint8_t* first
    if negative:
        at += 1
    first = at
    while at < end and c'0' <= at[0] <= c'9':
        at += 1
    if at == first or (at < end and (at[0] == c'.' or (at[0] | 0x20) == c'e')):
        return WRONG_TYPE
    if not decimal(first, at - first, &magnitude) or magnitude > most:
        return OUT_OF_RANGE
    if negative and magnitude != 0 and most != <uint64_t>INT64_MAX:
        return OUT_OF_RANGE
    value[0] = -<int64_t>magnitude if negative else <int64_t>magnitude
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


cdef Status check_names(const Envelope* env) noexcept nogil:
    """Whether subject and names are what they may be."""
    if env.event_type.len == 0:
        return NO_TYPE
    if not is_subject(env.event_type):
        return BAD_SUBJECT
    if env.source_node.len > MAX_NAME or env.target_node.len > MAX_NAME:
        return OUT_OF_RANGE
    if env.content_type.len > MAX_NAME or env.reply_to.len > MAX_REPLY_TO:
        return OUT_OF_RANGE
    return OK


cdef class Decoder:
    def __cinit__(self):
        self.walker = Walker()
        self.pair_capacity = 16
        self.pairs = <Pair*>PyMem_RawMalloc(self.pair_capacity * sizeof(Pair))
        if self.pairs == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_RawFree(self.pairs)
        PyMem_RawFree(self.scratch)

    cdef Status decode(self, Span raw, Format format, Envelope* env, Py_ssize_t* error_at) noexcept nogil:
        """Finds every field of `raw`, which must outlive `env`; on failure sets the byte where it showed."""
        cdef const uint8_t* cursor = raw.ptr
        cdef Status status
        memset(env, 0, sizeof(Envelope))
        env.raw = raw
        env.format = format
        env.metadata = self.pairs
        self.scratch_len = 0
        self.walker.key_count = 0
        status = self._decode_json(env, &cursor) if format == JSON else self._decode_proto(env, &cursor)
        error_at[0] = cursor - raw.ptr
        env.metadata = self.pairs
        if status != OK:
            return status
        return check_names(env)

    cdef Status _add_pair(self, Envelope* env, Span key, Span value) noexcept nogil:
        cdef Pair* grown
        cdef Status status = self.walker.remember(key, False)
        if status != OK:
            return status
        if env.metadata_count == self.pair_capacity:
            grown = <Pair*>PyMem_RawRealloc(self.pairs, <size_t>self.pair_capacity * 2 * sizeof(Pair))
            if grown == NULL:
                return NO_MEMORY
            self.pairs = grown
            self.pair_capacity *= 2
        self.pairs[env.metadata_count].key = key
        self.pairs[env.metadata_count].value = value
        env.metadata_count += 1
        return OK

    # -- JSON ----------------------------------------------------------------------------------------------------

    cdef Status _decode_json(self, Envelope* env, const uint8_t** cursor) noexcept nogil:
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
            status = self._json_member(env, cursor, end, &id)
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
            if not parse_id(id, &source, &env.epoch, &env.seq):
                return BAD_ID
            if env.has & HAS_SOURCE and not same(source, env.source_node):
                return BAD_ID
            env.source_node = source
            env.has = (env.has | HAS_SOURCE | HAS_EPOCH | HAS_SEQ) & ~<uint32_t>HAS_ID
        return OK

    cdef Status _json_member(self, Envelope* env, const uint8_t** cursor, const uint8_t* end, Span* id) noexcept nogil:
        """Reads `"key": value` and the space after it."""
        cdef const uint8_t* key_at = cursor[0]
        cdef Span key
        cdef uint32_t field
        cdef Status status
        if cursor[0] >= end:
            return TRUNCATED
        if cursor[0][0] != c'"':
            return BAD_JSON
        status = self._json_string(cursor, end, &key)
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
        status = self._json_field(env, field, cursor, end, id)
        if status == OK:
            skip_space(cursor, end)
        return status

    cdef Status _json_field(self, Envelope* env, uint32_t field, const uint8_t** cursor, const uint8_t* end,
                            Span* id) noexcept nogil:
        cdef const uint8_t* start = cursor[0]
        cdef int64_t number = 0
        cdef Status status
        if field == HAS_PAYLOAD:
            status = self.walker.value(cursor, end, 1)
            env.payload = span(start, cursor[0] - start)
            env.payload_kind = NO_PAYLOAD if is_literal(env.payload, "null", 4) else JSON_VALUE
            return status
        if field == HAS_METADATA:
            return self._json_metadata(env, cursor, end)
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
            return self._json_string(cursor, end, &env.event_type)
        if field == HAS_SOURCE:
            return self._json_string(cursor, end, &env.source_node)
        if field == HAS_TARGET:
            return self._json_string(cursor, end, &env.target_node)
        if field == HAS_REPLY_TO:
            return self._json_string(cursor, end, &env.reply_to)
        return self._json_string(cursor, end, id)

    cdef Status _json_metadata(self, Envelope* env, const uint8_t** cursor, const uint8_t* end) noexcept nogil:
        cdef Py_ssize_t first = self.walker.key_count
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
            status = self._json_string(cursor, end, &key)
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
            status = self._json_string(cursor, end, &value)
            if status == OK:
                status = self._add_pair(env, key, value)
            if status != OK:
                return status
            skip_space(cursor, end)
            if cursor[0] >= end:
                return TRUNCATED
            if cursor[0][0] == c'}':
                cursor[0] += 1
                return self.walker.distinct(first)
            if cursor[0][0] != c',':
                return BAD_JSON
            cursor[0] += 1
            skip_space(cursor, end)

    cdef Status _json_string(self, const uint8_t** cursor, const uint8_t* end, Span* out) noexcept nogil:
        """Reads a string and decodes its escapes into the scratch, so that everything after sees plain UTF-8."""
        cdef bint escaped
        cdef Span raw
        cdef Status status = string(cursor, end, &raw, &escaped)
        if status == OK and escaped:
            status = self._room_to_unescape(end - raw.ptr)
            if status == OK:
                raw.len = unescape(raw, self.scratch + self.scratch_len)
                raw.ptr = self.scratch + self.scratch_len
                self.scratch_len += raw.len
        out[0] = raw
        return status

    cdef Status _room_to_unescape(self, Py_ssize_t length) noexcept nogil:
        """Grows the scratch once a message, by all that is left of it: spans into it must not move later."""
        cdef uint8_t* grown
        if self.scratch_len > 0 or self.scratch_capacity >= length:
            return OK
        grown = <uint8_t*>PyMem_RawMalloc(<size_t>length)
        if grown == NULL:
            return NO_MEMORY
        PyMem_RawFree(self.scratch)
        self.scratch = grown
        self.scratch_capacity = length
        return OK

    # -- protobuf ------------------------------------------------------------------------------------------------

    cdef Status _decode_proto(self, Envelope* env, const uint8_t** cursor) noexcept nogil:
        cdef const uint8_t* end = env.raw.ptr + env.raw.len
        cdef uint64_t tag, value
        cdef Py_ssize_t step
        cdef uint32_t number
        cdef Status status
        while cursor[0] < end:
            step = get_varint(cursor[0], end, &tag)
            if step == 0:
                return BAD_VARINT
            number = <uint32_t>(tag >> 3)
            if tag > UINT32_MAX or number == 0:
                return BAD_TAG
            if number > 13:
                return UNKNOWN_FIELD
            if number != 6 and env.has & (1u << number):
                return REPEATED_FIELD
            if <int>(tag & 7) != (<int>VARINT if number == 5 or 7 <= number <= 11 else <int>LENGTH):
                return BAD_WIRE_TYPE
            env.has |= 1u << number
            cursor[0] += step
            step = get_varint(cursor[0], end, &value)
            if step == 0:
                return BAD_VARINT
            if (tag & 7) == VARINT:
                status = proto_number(env, number, value, cursor[0], step)
                cursor[0] += step
            else:
                cursor[0] += step
                if value > <uint64_t>(end - cursor[0]):
                    return TRUNCATED
                status = self._proto_bytes(env, number, span(cursor[0], <Py_ssize_t>value))
                cursor[0] += <Py_ssize_t>value
            if status != OK:
                return status
        if env.metadata_count > 1:
            status = self.walker.distinct(0)
            if status != OK:
                return status
        return self._classify_payload(env)

    cdef Status _proto_bytes(self, Envelope* env, uint32_t number, Span value) noexcept nogil:
        if number == 4:
            env.payload = value
            return OK
        if number == 6:
            return self._proto_pair(env, value)
        if not is_utf8(value):
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

    cdef Status _proto_pair(self, Envelope* env, Span entry) noexcept nogil:
        """One map entry: a message with key = 1 and value = 2, either absent when empty."""
        cdef const uint8_t* at = entry.ptr
        cdef const uint8_t* end = entry.ptr + entry.len
        cdef Span fields[2]
        cdef bint seen[2]
        cdef uint64_t tag, length
        cdef Py_ssize_t step
        cdef int which
        fields[0] = fields[1] = span(at, 0)
        seen[0] = seen[1] = False
        while at < end:
            step = get_varint(at, end, &tag)
            if step == 0:
                return BAD_VARINT
            if tag != 0x0A and tag != 0x12:
                return UNKNOWN_FIELD if tag >> 3 > 2 else BAD_WIRE_TYPE
            which = 0 if tag == 0x0A else 1
            if seen[which]:
                return REPEATED_FIELD
            seen[which] = True
            at += step
            step = get_varint(at, end, &length)
            if step == 0:
                return BAD_VARINT
            at += step
            if length > <uint64_t>(end - at):
                return TRUNCATED
            fields[which] = span(at, <Py_ssize_t>length)
            if not is_utf8(fields[which]):
                return BAD_UTF8
            at += <Py_ssize_t>length
        return self._add_pair(env, fields[0], fields[1])

    cdef Status _classify_payload(self, Envelope* env) noexcept nogil:
        """Decides what the payload is: JSON if it parses, else text, else opaque.

        A payload that is JSON but breaks a strictness rule (two parsers could read it differently), or that is
        declared JSON and does not parse, is an error.
        """
        cdef Py_ssize_t at
        cdef Status status
        if env.payload.len == 0:
            return OK
        status = self.walker.document(env.payload, &at)
        if status == OK:
            env.payload_kind = JSON_VALUE
            return OK
        if status == DUPLICATE_KEY or status == TOO_DEEP or status == LONE_SURROGATE or status == NO_MEMORY:
            return status
        if is_literal(env.content_type, "application/json", 16):
            return status
        env.payload_kind = PLAIN_TEXT if is_utf8(env.payload) else OPAQUE_BYTES
        return OK


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
