"""A message's fields as spans, and the memory they may point into beside the message."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from lexmesh._json cimport Walker
from lexmesh._json_text cimport plain_string
from lexmesh._span cimport OK, OUT_OF_RANGE, Span, Status, span

cdef enum Format:
    JSON = 0        # one JSON object, subprotocol lexmesh.v1.json
    PROTO = 1       # one EventMessage of protos/lexmesh/v1/internode.proto

cdef enum Field:    # bits of Envelope.has; EventMessage's field n is bit n
    HAS_SOURCE = 1 << 1
    HAS_TARGET = 1 << 2
    HAS_TYPE = 1 << 3
    HAS_PAYLOAD = 1 << 4
    HAS_TIMESTAMP = 1 << 5
    HAS_METADATA = 1 << 6
    HAS_EPOCH = 1 << 7
    HAS_SEQ = 1 << 8
    HAS_DEPTH = 1 << 9
    HAS_TTL = 1 << 10
    HAS_PRIORITY = 1 << 11
    HAS_REPLY_TO = 1 << 12
    HAS_CONTENT_TYPE = 1 << 13

cdef enum PayloadKind:
    NO_PAYLOAD = 0
    JSON_VALUE = 1      # one strict JSON value
    PLAIN_TEXT = 2      # valid UTF-8 that is not JSON
    OPAQUE_BYTES = 3    # anything else

cdef enum:
    MAX_NAME = 255      # bytes of a node name, a subject or a content type
    MAX_REPLY_TO = 512  # bytes of a printed id with the longest name
    MAX_MEMBERS = 8     # members of an envelope whose keys are remembered
    MAX_PREFIX = 64     # bytes of an id up to its number, and of a subject, that are remembered


cdef struct Pair:
    Span key
    Span value


cdef struct Envelope:
    # Spans point into `raw` or, for JSON strings that had escapes, into the decoder's scratch: both die at the
    # decoder's next message.
    Format format
    PayloadKind payload_kind
    bint rewrite                # a field that was on the wire has another value now: splicing would repeat it
    uint32_t has
    uint32_t depth
    uint32_t ttl_ms
    uint32_t priority
    int64_t timestamp
    uint64_t epoch
    uint64_t seq
    Span raw
    Span source_node
    Span target_node
    Span event_type
    Span payload
    Span reply_to
    Span content_type
    Pair* metadata
    Py_ssize_t metadata_count
    Py_ssize_t depth_at         # where the depth's number stands in raw, for patching
    Py_ssize_t depth_len


cdef struct Member:
    # What stood before a value in the last message: `"key":` and the space around its parts.
    uint8_t text[16]
    uint8_t len         # more than 16: nothing
    uint32_t field


cdef class Scratch:
    """What a decoder writes: unescaped strings and the list of metadata pairs; reused for every message."""

    cdef Walker walker
    cdef int takes_unknown              # so many more fields may a message have beyond the known ones
    cdef Pair* pairs
    cdef Py_ssize_t pair_capacity
    cdef uint8_t* scratch
    cdef Py_ssize_t scratch_len, scratch_capacity
    cdef uint8_t prefix[MAX_PREFIX]     # of the last id, `source:epoch:`: the next one mostly has the same
    cdef Py_ssize_t prefix_len, prefix_source_len
    cdef uint64_t prefix_epoch
    cdef Member members[MAX_MEMBERS]    # in their order: the next message of a kind has the same
    cdef uint8_t subject[MAX_PREFIX]    # of the last message, if it is not longer
    cdef Py_ssize_t subject_len

    cdef Status add_pair(self, Envelope* env, Span key, Span value) noexcept nogil
    cdef Status unescaped_string(self, const uint8_t** cursor, const uint8_t* end, Span* out) noexcept nogil
    cdef bint split_id(self, Span text, Span* source, uint64_t* epoch, uint64_t* seq) noexcept nogil
    cdef Py_ssize_t capacity(self) noexcept nogil
    cdef Status _room_to_unescape(self, Py_ssize_t length) noexcept nogil


cdef inline void clear(Envelope* env) noexcept nogil:
    """Makes an envelope empty; field by field, since a memset of this size becomes a slow string instruction."""
    env.format = JSON
    env.payload_kind = NO_PAYLOAD
    env.rewrite = False
    env.has = env.depth = env.ttl_ms = env.priority = 0
    env.timestamp = 0
    env.epoch = env.seq = 0
    env.raw = env.source_node = env.target_node = env.event_type = span(NULL, 0)
    env.payload = env.reply_to = env.content_type = span(NULL, 0)
    env.metadata = NULL
    env.metadata_count = env.depth_at = env.depth_len = 0


cdef inline Status read_string(Scratch scratch, const uint8_t** cursor, const uint8_t* end, Span* out) noexcept nogil:
    """Reads a string as the plain UTF-8 that it stands for."""
    return OK if plain_string(cursor, end, out) else scratch.unescaped_string(cursor, end, out)


cdef bint decimal(const uint8_t* ptr, Py_ssize_t length, uint64_t* value) noexcept nogil
cdef bint parse_id(Span text, Span* source, uint64_t* epoch, uint64_t* seq) noexcept nogil
cdef bint is_subject(Span text) noexcept nogil
cdef Status check_names(const Envelope* env) noexcept nogil


cdef inline Status check_lengths(const Envelope* env) noexcept nogil:
    """Whether names are as long as they may be; a subject's length is is_subject's to check."""
    if env.source_node.len > MAX_NAME or env.target_node.len > MAX_NAME:
        return OUT_OF_RANGE
    if env.content_type.len > MAX_NAME or env.reply_to.len > MAX_REPLY_TO:
        return OUT_OF_RANGE
    return OK


cdef inline bint within(Span s, const uint8_t* ptr, Py_ssize_t length) noexcept nogil:
    return ptr != NULL and ptr <= s.ptr < ptr + length


cdef inline Span moved(Span s, const Envelope* env, const uint8_t* base, const uint8_t* scratch) noexcept nogil:
    """Where a span stands in an event's own copy at `base`: the message first, then the scratch."""
    if s.len == 0:
        return span(base, 0)
    if within(s, env.raw.ptr, env.raw.len):
        return span(base + (s.ptr - env.raw.ptr), s.len)
    return span(base + env.raw.len + (s.ptr - scratch), s.len)
