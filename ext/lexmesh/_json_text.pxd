"""Strings and numbers of JSON text, read, decoded and written."""

from libc.stdint cimport uint8_t

from lexmesh._span cimport OK, Span, Status, lm_plain_prefix, span


cdef const uint8_t* space_end(const uint8_t* at, const uint8_t* end) noexcept nogil
cdef Status any_string(const uint8_t** cursor, const uint8_t* end, Span* raw, bint* escaped) noexcept nogil
cdef Status number(const uint8_t** cursor, const uint8_t* end) noexcept nogil
cdef Py_ssize_t unescape(Span raw, uint8_t* out) noexcept nogil
cdef Py_ssize_t escaped_size(Span text) noexcept nogil
cdef uint8_t* escape(Span text, uint8_t* out) noexcept nogil


cdef inline const uint8_t* after_space(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """The first byte from `at` on that is no space, or `end`."""
    return space_end(at, end) if at < end and at[0] <= c' ' else at


cdef inline void skip_space(const uint8_t** cursor, const uint8_t* end) noexcept nogil:
    cursor[0] = after_space(cursor[0], end)


cdef inline bint plain_string(const uint8_t** cursor, const uint8_t* end, Span* raw) noexcept nogil:
    """Reads a string of ASCII without escapes, as most are; False, and nothing is read, if it is none."""
    cdef const uint8_t* start = cursor[0] + 1
    cdef const uint8_t* at = start + lm_plain_prefix(start, <size_t>(end - start))
    if at >= end or at[0] != c'"':
        return False
    raw[0] = span(start, at - start)
    cursor[0] = at + 1
    return True


cdef inline Status string(const uint8_t** cursor, const uint8_t* end, Span* raw, bint* escaped) noexcept nogil:
    """Reads a string whose opening quote is at the cursor; `raw` is what stands between its quotes."""
    escaped[0] = False
    return OK if plain_string(cursor, end, raw) else any_string(cursor, end, raw, escaped)
