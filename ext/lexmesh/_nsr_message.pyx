"""The prefilter over a whole message: most are clean, and are known to be after one run over their text."""

cimport cython
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

from lexmesh._buffer cimport release, reserve
from lexmesh._envelope cimport JSON_VALUE, Envelope, Pair, PayloadKind
from lexmesh._nsr_codes cimport code_kinds
from lexmesh._nsr_filter cimport LM_TRIP_CODES, PADDING, Prefilter, lm_is_plain_pair, lm_nowhere
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
        cdef uint8_t* end
        cdef uint8_t* whole
        metadata_clean[0] = False
        end = self.write_line(env)
        if end == NULL:
            if self.line.capacity >= line_room(env) or not reserve(&self.line, line_room(env)):
                return False
            end = self.write_line(env)
            if end == NULL:
                return False
        length = end - self.line.ptr
        if not unread and length + env.payload.len < SHORT:
            whole = quoted(end, env.payload)
            memset(whole, 0, PADDING)
            if (self.clean_line(self.whole_filter, whole - self.line.ptr, length if in_strings else whole - self.line.ptr,
                                whole - self.line.ptr if words else length)
                    and not self.payload_joins(env.payload, env.payload_kind, words)):
                return True
        memset(end, 0, PADDING)
        metadata_clean[0] = self.clean_line(self.metadata_filter, length, length, length)
        return metadata_clean[0] and unread

    @cython.final
    cdef inline uint8_t* write_line(self, const Envelope* env) noexcept nogil:
        """Writes event type, metadata and the like side by side.

        Returns:
            The end, or NULL if a text may hold more texts, or a pair make one, or if there is too little room.
        """
        cdef const Pair* pair = env.metadata
        cdef const Pair* end = pair + env.metadata_count
        cdef uint8_t* to = self.line.ptr
        cdef Py_ssize_t left = self.line.capacity - room_beside(env)
        if left < 0 or (env.event_type.len and self.metadata_filter.splits.odd[env.event_type.ptr[0]]):
            return NULL
        to = copied(to, env.event_type)
        while pair < end:
            left -= pair.key.len + pair.value.len + 2
            if left < 0 or not lm_is_plain_pair(&self.metadata_filter.splits, pair.key.ptr, <size_t>pair.key.len,
                                                pair.value.ptr, <size_t>pair.value.len):
                return NULL
            to = quoted(quoted(to, pair.key), pair.value)
            pair += 1
        if env.content_type.len:
            if is_json_like(env.content_type):
                return NULL
            to = quoted(to, env.content_type)
        if env.reply_to.len and is_free_text(env.reply_to):
            if is_json_like(env.reply_to):
                return NULL
            to = quoted(to, env.reply_to)
        return to

    @cython.final
    cdef inline bint clean_line(self, Prefilter filter, Py_ssize_t length, Py_ssize_t json_from, Py_ssize_t codes_to) noexcept nogil:
        """Whether the line's first bytes, with zeros behind them, hold nothing.

        `json_from`: where a payload begins of which each string is searched by itself. `codes_to`: where what may hold characters by their numbers ends.
        """
        cdef Span line = span(self.line.ptr, length)
        cdef int trips = filter.short_trips(line, json_from, codes_to) if length < SHORT else filter.trips(line, False, NULL)
        return trips == 0 or (trips == <int>LM_TRIP_CODES and not code_kinds(span(line.ptr, codes_to)))

    @cython.final
    cdef inline bint payload_joins(self, Span payload, PayloadKind kind, bint words) noexcept nogil:
        """Whether a payload without trips may still hold something: parts that make a word together, JSON in text."""
        if kind != JSON_VALUE:
            return is_json_like(payload) or wide_forms(payload) != 0
        return words and self.instruction_filter.may_join_in_json(payload, lm_nowhere())


cdef inline Py_ssize_t room_beside(const Envelope* env) noexcept nogil:
    """Bytes for what is written beside a message's metadata: a short payload and the zeros behind it with it."""
    return env.event_type.len + env.content_type.len + env.reply_to.len + 2 + SHORT + COPY + PADDING


cdef Py_ssize_t line_room(const Envelope* env) noexcept nogil:
    """Bytes for all of the line."""
    cdef Py_ssize_t room = room_beside(env)
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
