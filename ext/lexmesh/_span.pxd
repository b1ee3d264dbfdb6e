"""Bounded bytes, status codes and varints: the vocabulary of the compiled core.

A Span points into memory that somebody else owns. It is valid only until that buffer is refilled: for bytes read
from a socket, until the frame callback returns.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp


cdef extern from "text.h" nogil:
    size_t lm_utf8_valid_prefix(const uint8_t* ptr, size_t length) noexcept
    int lm_utf8_begins(const uint8_t* ptr, size_t length) noexcept
    size_t lm_plain_prefix(const uint8_t* ptr, size_t length) noexcept
    uint64_t lm_first8(const uint8_t* ptr, size_t length) noexcept
    bint lm_same_short(const uint8_t* a, const uint8_t* b, size_t length) noexcept
    uint64_t lm_hash(const uint8_t* ptr, size_t length) noexcept

cdef extern from "varint.h" nogil:
    size_t lm_short_varint(const uint8_t* ptr, uint64_t* value) noexcept


cdef struct Span:
    const uint8_t* ptr
    Py_ssize_t len


cdef enum Status:
    OK = 0
    TRUNCATED
    BAD_VARINT
    BAD_TAG
    BAD_WIRE_TYPE
    REPEATED_FIELD
    UNKNOWN_FIELD
    BAD_UTF8
    DUPLICATE_KEY
    TOO_DEEP
    TOO_BIG
    BAD_JSON
    BAD_STRING
    LONE_SURROGATE
    BAD_NUMBER
    TRAILING
    NOT_AN_OBJECT
    WRONG_TYPE
    METADATA_NOT_TEXT
    OUT_OF_RANGE
    NO_TYPE
    BAD_SUBJECT
    RESERVED_TYPE
    BAD_ID
    NO_MEMORY


cdef inline Span span(const uint8_t* ptr, Py_ssize_t length) noexcept nogil:
    cdef Span s
    s.ptr = ptr
    s.len = length
    return s


cdef inline bint same(Span a, Span b) noexcept nogil:
    return a.len == b.len and (a.len == 0 or memcmp(a.ptr, b.ptr, <size_t>a.len) == 0)


cdef inline bint same_name(Span a, Span b) noexcept nogil:
    """The same for texts that mostly are short."""
    return a.len == b.len and lm_same_short(a.ptr, b.ptr, <size_t>a.len)


cdef inline bint is_literal(Span a, const char* text, Py_ssize_t length) noexcept nogil:
    return a.len == length and memcmp(a.ptr, text, <size_t>length) == 0


cdef inline bint is_utf8(Span s) noexcept nogil:
    return lm_utf8_valid_prefix(s.ptr, <size_t>s.len) == <size_t>s.len


cdef inline Py_ssize_t utf8_prefix(Span s) noexcept nogil:
    """Bytes of whole characters that a text cut anywhere begins with, -1 if no text can begin so."""
    cdef size_t whole = lm_utf8_valid_prefix(s.ptr, <size_t>s.len)
    return <Py_ssize_t>whole if lm_utf8_begins(s.ptr + whole, <size_t>s.len - whole) else -1


cdef inline Py_ssize_t get_varint(const uint8_t* ptr, const uint8_t* end, uint64_t* value) noexcept nogil:
    """Reads one base-128 varint; returns its length in bytes, 0 if cut short or longer than 64 bits."""
    cdef uint64_t result = 0
    cdef uint64_t byte
    cdef unsigned int shift = 0
    cdef const uint8_t* at = ptr
    if at < end and at[0] < 0x80:
        value[0] = at[0]
        return 1
    if end - at >= 8:
        shift = <unsigned int>lm_short_varint(at, value)
        if shift:
            return shift
    while at < end and shift < 64:
        byte = at[0]
        at += 1
        if shift == 63 and byte > 1:
            return 0
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            value[0] = result
            return at - ptr
        shift += 7
    return 0


cdef inline uint8_t* put_varint(uint8_t* at, uint64_t value) noexcept nogil:
    """Writes a varint of at most 10 bytes at `at`; returns the byte after it."""
    while value >= 0x80:
        at[0] = <uint8_t>(value | 0x80)
        at += 1
        value >>= 7
    at[0] = <uint8_t>value
    return at + 1


cdef inline Py_ssize_t varint_size(uint64_t value) noexcept nogil:
    cdef Py_ssize_t size = 1
    while value >= 0x80:
        value >>= 7
        size += 1
    return size
