"""JSON as a stream of tokens, for payloads that were validated before and for strings that only look like JSON."""

from libc.stdint cimport uint8_t, uint32_t

from lexmesh._buffer cimport Buffer
from lexmesh._span cimport Span

cdef enum TokenKind:
    END = 0
    OPEN_OBJECT
    OPEN_ARRAY
    CLOSE
    COMMA
    KEY
    STRING
    SCALAR      # a number or a literal


cdef struct Token:
    TokenKind kind
    Span text       # KEY, STRING: between the quotes; SCALAR: all of it
    bint escaped


cdef void next_token(const uint8_t** cursor, const uint8_t* end, Token* token) noexcept nogil
cdef bint unescape_string(Span raw, Buffer* out) noexcept nogil
cdef bint is_json_string(Span text, Token* token) noexcept nogil
cdef bint is_json_after_blanks(Span text) noexcept nogil


cdef inline bint is_json_like(Span text) noexcept nogil:
    """Whether a text begins like a JSON object, array or string, whatever blanks stand before it."""
    cdef uint8_t first
    if text.len == 0:
        return False
    first = text.ptr[0]
    if 0x20 < first < 0x80:
        return first == c'{' or first == c'[' or first == c'"'
    return is_json_after_blanks(text)
