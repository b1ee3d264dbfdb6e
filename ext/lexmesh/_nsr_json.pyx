"""JSON as a stream of tokens. Linear, and never fails: what is malformed reads as something, and nothing is skipped."""

from lexmesh._buffer cimport reserve
from lexmesh._nsr_ascii cimport hex_digits, is_space, put_point, valid_point
from lexmesh._nsr_escape cimport low_surrogate
from lexmesh._nsr_fold cimport skip_blank
from lexmesh._span cimport span


cdef bint is_json_after_blanks(Span text) noexcept nogil:
    cdef Py_ssize_t at = skip_blank(text)
    return at < text.len and text.ptr[at] < 0x80 and is_json_like(span(text.ptr + at, text.len - at))


cdef bint is_json_string(Span text, Token* token) noexcept nogil:
    """Whether a text is one JSON string, and which."""
    cdef Py_ssize_t at = skip_blank(text)
    cdef const uint8_t* cursor = text.ptr + at
    cdef const uint8_t* end = text.ptr + text.len
    if at >= text.len or cursor[0] != c'"':
        return False
    next_token(&cursor, end, token)
    return token.kind == STRING and skip_blank(span(cursor, end - cursor)) == end - cursor


cdef inline void string_token(const uint8_t** cursor, const uint8_t* end, Token* token) noexcept nogil:
    """Reads a string after its opening quote, and the colon that makes it a key; a string without end is none."""
    cdef const uint8_t* at = cursor[0]
    cdef const uint8_t* start = at
    token.escaped = False
    while at < end and at[0] != c'"':
        if at[0] == c'\\':
            token.escaped = True
            at += 1
        at += 1
    if at >= end:
        cursor[0] = end
        token.kind = END
        return
    token.text = span(start, at - start)
    at += 1
    while at < end and is_space(at[0]):
        at += 1
    if at < end and at[0] == c':':
        token.kind = KEY
        at += 1
    else:
        token.kind = STRING
    cursor[0] = at


cdef void next_token(const uint8_t** cursor, const uint8_t* end, Token* token) noexcept nogil:
    """Reads one token of a JSON text, or of something like it: only strings and brackets have to be right."""
    cdef const uint8_t* at = cursor[0]
    cdef const uint8_t* start
    while at < end and (is_space(at[0]) or at[0] == c':'):
        at += 1
    start = at
    cursor[0] = at + 1
    if at >= end:
        cursor[0] = end
        token.kind = END
    elif at[0] == c'"':
        string_token(cursor, end, token)
    elif at[0] == c'{':
        token.kind = OPEN_OBJECT
    elif at[0] == c'[':
        token.kind = OPEN_ARRAY
    elif at[0] == c'}' or at[0] == c']':
        token.kind = CLOSE
    elif at[0] == c',':
        token.kind = COMMA
    else:
        while at < end and not is_space(at[0]) and at[0] not in b"\"{}[],:":
            at += 1
        token.kind = SCALAR
        token.text = span(start, at - start)
        cursor[0] = at


cdef bint unescape_string(Span raw, Buffer* out) noexcept nogil:
    """Decodes the body of a JSON string; what is no escape stands for itself. False: no memory."""
    cdef const uint8_t* at = raw.ptr
    cdef const uint8_t* end = at + raw.len
    cdef uint32_t point
    cdef Py_ssize_t taken
    out.len = 0
    if not reserve(out, raw.len + 4):
        return False
    while at < end:
        if at[0] != c'\\' or at + 1 >= end:
            out.ptr[out.len] = at[0]
            out.len += 1
            at += 1
            continue
        at += 1
        if at[0] == c'u' and hex_digits(at + 1, end, 4, &point):
            taken = 0
            if 0xD800 <= point <= 0xDBFF:
                taken = json_low_surrogate(at + 5, end, &point)
            put_point(out, point if point == 0 else valid_point(point))
            at += 5 + taken
        else:
            out.ptr[out.len] = control(at[0])
            out.len += 1
            at += 1
    return True


cdef inline uint8_t control(uint8_t letter) noexcept nogil:
    if letter == c'n':
        return c'\n'
    if letter == c't':
        return c'\t'
    if letter == c'r':
        return c'\r'
    if letter == c'b':
        return 8
    if letter == c'f':
        return 12
    return letter


cdef inline Py_ssize_t json_low_surrogate(const uint8_t* at, const uint8_t* end, uint32_t* point) noexcept nogil:
    if end - at < 6 or at[0] != c'\\' or at[1] != c'u':
        return 0
    return low_surrogate(at, end, point)
