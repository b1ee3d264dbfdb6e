"""Envelope to bytes: spliced when the format stays, written field by field when it changes."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from lexmesh._buffer cimport Buffer, append, append_span, reserve
from lexmesh._envelope cimport (
    HAS_DEPTH, HAS_EPOCH, HAS_SEQ, HAS_SOURCE, HAS_TIMESTAMP, HAS_TTL, JSON_VALUE, NO_PAYLOAD, OPAQUE_BYTES,
    PROTO, Envelope,
)
from lexmesh._json_text cimport escape, escaped_size, skip_space
from lexmesh._span cimport Span, is_literal, put_varint, span, varint_size

cdef extern from "text.h" nogil:
    uint8_t* lm_put_short(uint8_t* to, const uint8_t* ptr, size_t length) noexcept

cdef extern from "decimal.h" nogil:
    uint8_t* lm_put_decimal(uint8_t* to, uint64_t value) noexcept

cdef enum:
    MOST_ESCAPED = 6    # bytes of JSON that one byte of text may become
    NUMBERS = 96        # bytes that suffice for all numeric fields of either format, tags and keys included, and 16 more


cdef bint is_binary(const Envelope* env) noexcept nogil:
    """Whether the payload is delivered as bytes."""
    return env.payload_kind == OPAQUE_BYTES or is_literal(env.content_type, "application/octet-stream", 24)


cdef bint is_json_data(const Envelope* env) noexcept nogil:
    """Whether the payload is delivered as the JSON value it holds."""
    return (env.payload_kind == JSON_VALUE and not is_literal(env.content_type, "text/plain", 10)
            and not is_binary(env))


# -- protobuf ----------------------------------------------------------------------------------------------------

cdef inline uint8_t* put_bytes(uint8_t* at, uint8_t tag, Span value) noexcept nogil:
    at[0] = tag
    return lm_put_short(put_varint(at + 1, <uint64_t>value.len), value.ptr, <size_t>value.len)


cdef inline uint8_t* put_number(uint8_t* at, uint8_t tag, uint64_t value) noexcept nogil:
    at[0] = tag
    return put_varint(at + 1, value)


cdef inline Py_ssize_t field_size(Span value) noexcept nogil:
    return 0 if value.len == 0 else 1 + varint_size(<uint64_t>value.len) + value.len


cdef bint emit_proto(const Envelope* env, Buffer* out) noexcept nogil:
    """Appends one EventMessage; False when memory is out."""
    return splice_proto(env, out) if env.format == PROTO and not env.rewrite else write_proto(env, out)


cdef bint splice_proto(const Envelope* env, Buffer* out) noexcept nogil:
    cdef uint8_t* at
    cdef Py_ssize_t after = 0
    if not reserve(out, env.raw.len + field_size(env.source_node) + NUMBERS):
        return False
    at = out.ptr + out.len
    if env.has & HAS_DEPTH:
        memcpy(at, env.raw.ptr, <size_t>env.depth_at)
        at = put_varint(at + env.depth_at, env.depth)
        after = env.depth_at + env.depth_len
    memcpy(at, env.raw.ptr + after, <size_t>(env.raw.len - after))
    at += env.raw.len - after
    if env.source_node.len and not env.has & HAS_SOURCE:
        at = put_bytes(at, 0x0A, env.source_node)
    if env.timestamp and not env.has & HAS_TIMESTAMP:
        at = put_number(at, 0x28, <uint64_t>env.timestamp)
    if env.epoch and not env.has & HAS_EPOCH:
        at = put_number(at, 0x38, env.epoch)
    if env.seq and not env.has & HAS_SEQ:
        at = put_number(at, 0x40, env.seq)
    if env.depth and not env.has & HAS_DEPTH:
        at = put_number(at, 0x48, env.depth)
    out.len = at - out.ptr
    return True


cdef inline Py_ssize_t pair_size(const Envelope* env, Py_ssize_t i) noexcept nogil:
    return field_size(env.metadata[i].key) + field_size(env.metadata[i].value)


cdef bint write_proto(const Envelope* env, Buffer* out) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t size = NUMBERS
    cdef uint8_t* at
    size += (field_size(env.source_node) + field_size(env.target_node) + field_size(env.event_type)
             + field_size(env.payload) + field_size(env.reply_to) + field_size(env.content_type))
    for i in range(env.metadata_count):
        size += 11 + pair_size(env, i)
    if not reserve(out, size):
        return False
    at = out.ptr + out.len
    if env.source_node.len:
        at = put_bytes(at, 0x0A, env.source_node)
    if env.target_node.len:
        at = put_bytes(at, 0x12, env.target_node)
    at = put_bytes(at, 0x1A, env.event_type)
    if env.payload_kind != NO_PAYLOAD:
        at = put_bytes(at, 0x22, env.payload)
    if env.timestamp:
        at = put_number(at, 0x28, <uint64_t>env.timestamp)
    for i in range(env.metadata_count):
        at[0] = 0x32
        at = put_varint(at + 1, <uint64_t>pair_size(env, i))
        if env.metadata[i].key.len:
            at = put_bytes(at, 0x0A, env.metadata[i].key)
        if env.metadata[i].value.len:
            at = put_bytes(at, 0x12, env.metadata[i].value)
    out.len = put_tail(env, at) - out.ptr
    return True


cdef uint8_t* put_tail(const Envelope* env, uint8_t* at) noexcept nogil:
    """Fields 7 to 13."""
    if env.epoch:
        at = put_number(at, 0x38, env.epoch)
    if env.seq:
        at = put_number(at, 0x40, env.seq)
    if env.depth:
        at = put_number(at, 0x48, env.depth)
    if env.has & HAS_TTL:
        at = put_number(at, 0x50, env.ttl_ms)
    if env.priority:
        at = put_number(at, 0x58, env.priority)
    if env.reply_to.len:
        at = put_bytes(at, 0x62, env.reply_to)
    if env.content_type.len:
        at = put_bytes(at, 0x6A, env.content_type)
    return at


# -- JSON --------------------------------------------------------------------------------------------------------

cdef inline uint8_t* put_text(uint8_t* at, const char* text, Py_ssize_t length) noexcept nogil:
    memcpy(at, text, <size_t>length)
    return at + length


cdef uint8_t* put_decimal(uint8_t* at, uint64_t value) noexcept nogil:
    return lm_put_decimal(at, value)


cdef inline uint8_t* put_signed(uint8_t* at, int64_t value) noexcept nogil:
    if value < 0:
        at[0] = c'-'
        return put_decimal(at + 1, <uint64_t>-(value + 1) + 1)
    return put_decimal(at, <uint64_t>value)


cdef inline uint8_t* put_quoted(uint8_t* at, Span text) noexcept nogil:
    at[0] = c'"'
    at = escape(text, at + 1)
    at[0] = c'"'
    return at + 1


cdef uint8_t* put_id(uint8_t* at, const Envelope* env) noexcept nogil:
    at = put_text(at, '"id":"', 6)
    at = escape(env.source_node, at)
    at[0] = c':'
    at = put_decimal(at + 1, env.epoch)
    at[0] = c':'
    at = put_decimal(at + 1, env.seq)
    return put_text(at, '",', 2)


cdef uint8_t* put_origin(const Envelope* env, uint32_t has, uint8_t* at) noexcept nogil:
    """The members that a gateway stamps, each followed by a comma, but for those in `has`."""
    if env.source_node.len and not has & HAS_SOURCE:
        at = put_text(at, '"source_node":', 14)
        at = put_quoted(at, env.source_node)
        at[0] = c','
        at += 1
    if env.source_node.len and (env.epoch or env.seq) and not has & (HAS_EPOCH | HAS_SEQ):
        at = put_id(at, env)
    if env.timestamp and not has & HAS_TIMESTAMP:
        at = put_text(at, '"timestamp":', 12)
        at = put_signed(at, env.timestamp)
        at[0] = c','
        at += 1
    if env.depth and not has & HAS_DEPTH:
        at = put_text(at, '"depth":', 8)
        at = put_decimal(at, env.depth)
        at[0] = c','
        at += 1
    return at


cdef bint emit_json(const Envelope* env, Buffer* out) noexcept nogil:
    """Appends one JSON object; False when memory is out."""
    return write_json(env, out) if env.format == PROTO or env.rewrite else splice_json(env, out)


cdef bint splice_json(const Envelope* env, Buffer* out) noexcept nogil:
    cdef const uint8_t* body = env.raw.ptr
    cdef const uint8_t* end = env.raw.ptr + env.raw.len
    cdef uint8_t* at
    skip_space(&body, end)
    body += 1
    if not reserve(out, env.raw.len + 2 * MOST_ESCAPED * env.source_node.len + 2 * NUMBERS):
        return False
    at = out.ptr + out.len
    at[0] = c'{'
    at = put_origin(env, env.has, at + 1)
    if env.has & HAS_DEPTH:
        memcpy(at, body, <size_t>(env.raw.ptr + env.depth_at - body))
        at += env.raw.ptr + env.depth_at - body
        at = put_decimal(at, env.depth)
        body = env.raw.ptr + env.depth_at + env.depth_len
    memcpy(at, body, <size_t>(end - body))
    out.len = at + (end - body) - out.ptr
    return True


cdef Py_ssize_t json_size(const Envelope* env) noexcept nogil:
    """An upper bound of what write_json appends."""
    cdef Py_ssize_t i
    cdef Py_ssize_t size = 4 * NUMBERS
    size += (2 * escaped_size(env.source_node) + escaped_size(env.target_node) + escaped_size(env.event_type)
             + escaped_size(env.reply_to))
    for i in range(env.metadata_count):
        size += 6 + escaped_size(env.metadata[i].key) + escaped_size(env.metadata[i].value)
    if is_binary(env):
        return size + 4 * env.payload.len // 3 + 32
    return size + (env.payload.len if is_json_data(env) else escaped_size(env.payload))


cdef bint write_json(const Envelope* env, Buffer* out) noexcept nogil:
    cdef uint8_t* at
    if not reserve(out, json_size(env)):
        return False
    at = out.ptr + out.len
    at = put_text(at, '{"type":', 8)
    at = put_quoted(at, env.event_type)
    at[0] = c','
    at = put_origin(env, 0, at + 1)
    if env.target_node.len:
        at = put_text(at, '"target_node":', 14)
        at = put_quoted(at, env.target_node)
        at[0] = c','
        at += 1
    if env.metadata_count:
        at = put_metadata(env, at)
    if env.has & HAS_TTL:
        at = put_text(at, '"ttl":', 6)
        at = put_decimal(at, env.ttl_ms)
        at[0] = c','
        at += 1
    if env.priority:
        at = put_text(at, '"priority":', 11)
        at = put_decimal(at, env.priority)
        at[0] = c','
        at += 1
    if env.reply_to.len:
        at = put_text(at, '"reply_to":', 11)
        at = put_quoted(at, env.reply_to)
        at[0] = c','
        at += 1
    if env.payload_kind != NO_PAYLOAD or is_binary(env):
        at = put_data(env, at)
    (at - 1)[0] = c'}'      # in place of the last comma
    out.len = at - out.ptr
    return True


cdef uint8_t* put_metadata(const Envelope* env, uint8_t* at) noexcept nogil:
    cdef Py_ssize_t i
    at = put_text(at, '"metadata":{', 12)
    for i in range(env.metadata_count):
        at = put_quoted(at, env.metadata[i].key)
        at[0] = c':'
        at = put_quoted(at + 1, env.metadata[i].value)
        at[0] = c','
        at += 1
    (at - 1)[0] = c'}'
    at[0] = c','
    return at + 1


cdef uint8_t* put_data(const Envelope* env, uint8_t* at) noexcept nogil:
    """The payload as a JSON value: itself if it is one, a string if text, `{"$base64": …}` if bytes."""
    at = put_text(at, '"data":', 7)
    if is_json_data(env):
        at = put_text(at, <const char*>env.payload.ptr, env.payload.len)
    elif is_binary(env):
        at = put_text(at, '{"$base64":"', 12)
        at = put_base64(at, env.payload)
        at = put_text(at, '"}', 2)
    else:
        at = put_quoted(at, env.payload)
    at[0] = c','
    return at + 1


cdef uint8_t* put_base64(uint8_t* at, Span data) noexcept nogil:
    """RFC 4648 section 4, padded."""
    cdef const char* alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    cdef Py_ssize_t i = 0
    cdef uint32_t group
    while i < data.len:
        group = <uint32_t>data.ptr[i] << 16
        if i + 1 < data.len:
            group |= <uint32_t>data.ptr[i + 1] << 8
        if i + 2 < data.len:
            group |= data.ptr[i + 2]
        at[0] = <uint8_t>alphabet[group >> 18]
        at[1] = <uint8_t>alphabet[group >> 12 & 63]
        at[2] = <uint8_t>alphabet[group >> 6 & 63] if i + 1 < data.len else c'='
        at[3] = <uint8_t>alphabet[group & 63] if i + 2 < data.len else c'='
        at += 4
        i += 3
    return at
