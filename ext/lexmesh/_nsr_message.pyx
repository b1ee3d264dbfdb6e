"""The prefilter over a whole message: most are clean, and are known to be after one run over their text."""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from lexmesh._buffer cimport release, reserve
from lexmesh._envelope cimport JSON_VALUE, Envelope, Pair, PayloadKind
from lexmesh._nsr_filter cimport LM_TRIP_CODES, PADDING, Prefilter, lm_may_join, lm_splits
from lexmesh._nsr_json cimport is_json_like
from lexmesh._nsr_wide cimport wide_forms
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

    cdef bint is_clean(self, const Envelope* env, bint words, bint in_strings, bint* metadata_clean) noexcept nogil:
        """Whether the prefilter proves that the message holds nothing; False also without memory.

        A short payload stands behind the metadata in one text: most messages are decided by one run over that.
        `words`: whether the payload is searched for words. `in_strings`: whether a quote in it ends what is searched.
        `metadata_clean` is told of the metadata alone.
        """
        cdef bint unread = env.payload.len == 0
        cdef Py_ssize_t length = 0
        cdef Py_ssize_t codes_to
        cdef uint8_t* end
        cdef uint8_t* whole
        metadata_clean[0] = False
        if not reserve(&self.line, line_room(env)):
            return False
        end = self.write_line(env, self.line.ptr)
        if end == NULL:
            return False
        length = end - self.line.ptr
        if not unread and length + env.payload.len < SHORT:
            whole = quoted(end, env.payload)
            codes_to = whole - self.line.ptr if words else length
            if (self.clean_line(self.whole_filter, whole, length if in_strings else whole - self.line.ptr, codes_to)
                    and not self.payload_joins(env.payload, env.payload_kind, words)):
                return True
        metadata_clean[0] = self.clean_line(self.metadata_filter, end, length, length)
        return metadata_clean[0] and unread

    cdef uint8_t* write_line(self, const Envelope* env, uint8_t* to) noexcept nogil:
        """Writes event type, metadata and the like side by side.

        Returns:
            The end, or NULL if a text holds more texts, or a pair makes one.
        """
        cdef const lm_splits* splits = &self.metadata_filter.splits
        cdef const Pair* pair = env.metadata
        cdef const Pair* end = pair + env.metadata_count
        if is_json_like(env.event_type) or is_json_like(env.content_type) or is_json_like(env.reply_to):
            return NULL
        to = copied(to, env.event_type)
        while pair < end:
            if is_json_like(pair.key) or is_json_like(pair.value):
                return NULL
            if pair.key.len and pair.value.len and lm_may_join(
                    splits, pair.key.ptr, <size_t>pair.key.len, pair.value.ptr, <size_t>pair.value.len):
                return NULL
            to = quoted(quoted(to, pair.key), pair.value)
            pair += 1
        if env.content_type.len:
            to = quoted(to, env.content_type)
        if env.reply_to.len and is_free_text(env.reply_to):
            to = quoted(to, env.reply_to)
        return to

    cdef bint clean_line(self, Prefilter filter, uint8_t* end, Py_ssize_t json_from, Py_ssize_t codes_to) noexcept nogil:
        """Whether the line up to `end` holds nothing.

        `json_from`: where a payload begins of which each string is searched by itself. `codes_to`: where what may hold characters by their numbers ends.
        """
        cdef Span line = span(self.line.ptr, end - self.line.ptr)
        cdef int trips
        memset(end, 0, PADDING)
        if line.len < SHORT:
            trips = filter.short_trips(line, json_from, codes_to)
        else:
            trips = filter.trips(line, False)
        return trips == 0 or (trips == <int>LM_TRIP_CODES and not self.holds_codes(span(line.ptr, codes_to)))

    cdef bint payload_joins(self, Span payload, PayloadKind kind, bint words) noexcept nogil:
        """Whether a payload without trips may still hold something: parts that make a word together, JSON in text."""
        if kind != JSON_VALUE:
            return is_json_like(payload) or wide_forms(payload) != 0
        return words and self.instruction_filter.may_join_in_json(payload)


cdef inline Py_ssize_t line_room(const Envelope* env) noexcept nogil:
    """Bytes for the line of a message, a short payload and what is written beyond them."""
    cdef Py_ssize_t room = env.event_type.len + env.content_type.len + env.reply_to.len + 2 + SHORT + COPY + PADDING
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
