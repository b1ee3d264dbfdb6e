"""The prefilter over a whole message: most are clean, and are known to be after one run over their text."""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from lexmesh._buffer cimport release, reserve
from lexmesh._envelope cimport JSON_VALUE, OPAQUE_BYTES, Envelope, Pair, PayloadKind
from lexmesh._nsr_filter cimport PADDING, Prefilter, lm_may_join, lm_splits
from lexmesh._nsr_json cimport is_json_like
from lexmesh._span cimport Span, span

cdef extern from "nsr_prefilter.h":
    enum:
        LM_MAY_OVERREAD
        LM_SHORT

cdef enum:
    SHORT = 64 * LM_SHORT       # bytes of metadata and payload that are looked at together
    COPY = 32                   # bytes that are copied for a shorter text


cdef class MessageFilter(PayloadScanner):
    """Knows the clean messages among all."""

    def __dealloc__(self):
        release(&self.line)

    cdef bint is_clean(self, const Envelope* env, bint words, bint* metadata_clean) noexcept nogil:
        """Whether the prefilter proves that the message holds nothing; False also without memory.

        A short payload stands behind the metadata in one text: most messages are decided by one run over that.
        `words`: whether the payload is searched for words. `metadata_clean` is told of the metadata alone.
        """
        cdef bint unread = env.payload.len == 0 or (env.payload_kind == OPAQUE_BYTES and not words)
        cdef Py_ssize_t length = 0
        cdef uint8_t* end
        metadata_clean[0] = False
        if not reserve(&self.line, line_room(env)):
            return False
        end = self.write_line(env, self.line.ptr)
        if end == NULL:
            return False
        length = end - self.line.ptr
        if not unread and length + env.payload.len < SHORT:
            if (self.clean_line(self.whole_filter, quoted(end, env.payload), length)
                    and not self.payload_joins(env.payload, env.payload_kind, words)):
                return True
        metadata_clean[0] = self.clean_line(self.metadata_filter, end, length)
        return metadata_clean[0] and unread

    cdef uint8_t* write_line(self, const Envelope* env, uint8_t* to) noexcept nogil:
        """Writes event type and metadata side by side; returns the end, or NULL if a pair is more than two texts."""
        cdef const lm_splits* splits = &self.metadata_filter.splits
        cdef const Pair* pair = env.metadata
        cdef const Pair* end = pair + env.metadata_count
        to = copied(to, env.event_type)
        while pair < end:
            if may_be_json(pair.key) or may_be_json(pair.value):
                return NULL
            if pair.key.len and pair.value.len and lm_may_join(
                    splits, pair.key.ptr, <size_t>pair.key.len, pair.value.ptr, <size_t>pair.value.len):
                return NULL
            to = quoted(quoted(to, pair.key), pair.value)
            pair += 1
        return to

    cdef bint clean_line(self, Prefilter filter, uint8_t* end, Py_ssize_t json_from) noexcept nogil:
        """Whether the line up to `end` holds nothing; from `json_from` on it is the payload."""
        cdef Span line = span(self.line.ptr, end - self.line.ptr)
        memset(end, 0, PADDING)
        if line.len < SHORT:
            return filter.short_trips(line, json_from) == 0
        return filter.trips(line, False) == 0

    cdef bint payload_joins(self, Span payload, PayloadKind kind, bint words) noexcept nogil:
        """Whether a payload without trips may still hold something: parts that make a word together, JSON in text."""
        if kind != JSON_VALUE:
            return may_be_json(payload)
        return words and self.instruction_filter.may_join_in_json(payload)


cdef inline Py_ssize_t line_room(const Envelope* env) noexcept nogil:
    """Bytes for the line of a message, a short payload and what is written beyond them."""
    cdef Py_ssize_t room = env.event_type.len + SHORT + COPY + PADDING
    cdef Py_ssize_t i
    for i in range(env.metadata_count):
        room += env.metadata[i].key.len + env.metadata[i].value.len + 2
    return room


cdef inline uint8_t* copied(uint8_t* to, Span text) noexcept nogil:
    """Copies a text, which is mostly short: a copy of known size is a few instructions, if no page ends behind it."""
    if text.len <= COPY and LM_MAY_OVERREAD and (<size_t>text.ptr & 4095) <= 4096 - COPY:
        memcpy(to, text.ptr, COPY)
    elif text.len:
        memcpy(to, text.ptr, <size_t>text.len)
    return to + text.len


cdef inline uint8_t* quoted(uint8_t* to, Span text) noexcept nogil:
    to[0] = c'"'
    return copied(to + 1, text)


cdef inline bint may_be_json(Span text) noexcept nogil:
    """Whether a text may be JSON; one that begins with a plain character is none."""
    return text.len > 0 and (text.ptr[0] <= c' ' or text.ptr[0] | 0x20 == c'{') and is_json_like(text)
