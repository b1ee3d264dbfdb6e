"""The lexical level of JSON: strings, numbers, escapes (RFC 8259 sections 6 and 7)."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from lexmesh._span cimport (
    BAD_JSON, BAD_NUMBER, BAD_STRING, BAD_UTF8, LONE_SURROGATE, OK, TRUNCATED, Span, Status, lm_plain_prefix, span,
)

cdef extern from "text.h" nogil:
    size_t lm_digits(const uint8_t* ptr, size_t length) noexcept
    size_t lm_utf8_step(const uint8_t* ptr, size_t length) noexcept

cdef enum:
    SAFE_DIGITS = 300     # a number with fewer digits and no exponent stays inside binary64
    DOUBLE_DIGITS = 17
    MAX_MAGNITUDE = 309
    MUCH = 1 << 30        # no message is so long that its digits could make up for such an exponent

cdef uint64_t LARGEST_DOUBLE = 17976931348623157


cdef inline int hex_digit(uint8_t c) noexcept nogil:
    if c'0' <= c <= c'9':
        return c - c'0'
    if c'a' <= (c | 0x20) <= c'f':
        return (c | 0x20) - c'a' + 10
    return -1


cdef inline int unicode_escape(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """The code unit of four hex digits at `at`, -1 if they are not there."""
    cdef int unit = 0
    cdef int digit, i
    if end - at < 4:
        return -1
    for i in range(4):
        digit = hex_digit(at[i])
        if digit < 0:
            return -1
        unit = unit * 16 + digit
    return unit


cdef inline Status escape_length(const uint8_t* at, const uint8_t* end, Py_ssize_t* length) noexcept nogil:
    """Checks the escape at `at` (a backslash) and sets how many bytes it takes, a surrogate pair as one."""
    cdef int unit
    if end - at < 2:
        return TRUNCATED
    if at[1] in b'"\\/bfnrt':
        length[0] = 2
        return OK
    if at[1] != c'u':
        return BAD_STRING
    unit = unicode_escape(at + 2, end)
    if unit < 0:
        return BAD_STRING
    length[0] = 6
    if 0xDC00 <= unit <= 0xDFFF:
        return LONE_SURROGATE
    if 0xD800 <= unit <= 0xDBFF:
        if end - at < 12 or at[6] != c'\\' or at[7] != c'u':
            return LONE_SURROGATE
        unit = unicode_escape(at + 8, end)
        if not 0xDC00 <= unit <= 0xDFFF:
            return LONE_SURROGATE
        length[0] = 12
    return OK


cdef const uint8_t* space_end(const uint8_t* at, const uint8_t* end) noexcept nogil:
    while at < end and (at[0] == c' ' or at[0] == c'\n' or at[0] == c'\r' or at[0] == c'\t'):
        at += 1
    return at


cdef Status any_string(const uint8_t** cursor, const uint8_t* end, Span* raw, bint* escaped) noexcept nogil:
    """Reads a string whose opening quote is at the cursor; `raw` is what stands between its quotes."""
    cdef const uint8_t* start = cursor[0] + 1
    cdef const uint8_t* at = start
    cdef Py_ssize_t step
    cdef Status status
    escaped[0] = False
    while True:
        at += lm_plain_prefix(at, <size_t>(end - at))
        cursor[0] = at
        if at >= end:
            return TRUNCATED
        if at[0] == c'"':
            raw[0] = span(start, at - start)
            cursor[0] = at + 1
            return OK
        if at[0] == c'\\':
            escaped[0] = True
            status = escape_length(at, end, &step)
            if status != OK:
                return status
        elif at[0] < 0x20:
            return BAD_STRING
        else:
            step = <Py_ssize_t>lm_utf8_step(at, <size_t>(end - at))
            if step == 0:
                return BAD_UTF8
        at += step


cdef inline const uint8_t* digits(const uint8_t* at, const uint8_t* end) noexcept nogil:
    return at + lm_digits(at, <size_t>(end - at))


cdef Status finite(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Whether a number stays inside binary64, told from its decimal magnitude and 17 digits: no locale, no copy.

    The number is 0.d1d2d3… times 10**magnitude; the largest double is 1.7976931348623157…e308.
    """
    cdef uint64_t leading = 0
    cdef int kept = 0
    cdef Py_ssize_t magnitude = 0
    cdef Py_ssize_t exponent = 0
    cdef bint fraction = False
    cdef bint negative = False
    if at[0] == c'-':
        at += 1
    while at < end and (at[0] | 0x20) != c'e':
        if at[0] == c'.':
            fraction = True
        elif at[0] == c'0' and leading == 0:
            magnitude -= fraction
        else:
            magnitude += not fraction
            if kept < DOUBLE_DIGITS:
                leading = leading * 10 + at[0] - c'0'
                kept += 1
        at += 1
    while kept < DOUBLE_DIGITS:
        leading *= 10
        kept += 1
    at += 1
    if at < end and (at[0] == c'+' or at[0] == c'-'):
        negative = at[0] == c'-'
        at += 1
    while at < end:
        exponent = min(exponent * 10 + at[0] - c'0', MUCH)
        at += 1
    magnitude += -exponent if negative else exponent
    if leading == 0 or magnitude < MAX_MAGNITUDE:
        return OK
    return BAD_NUMBER if magnitude > MAX_MAGNITUDE or leading > LARGEST_DOUBLE else OK


cdef Status number(const uint8_t** cursor, const uint8_t* end) noexcept nogil:
    cdef const uint8_t* start = cursor[0]
    cdef const uint8_t* at = start
    cdef const uint8_t* before
    cdef bint exponent = False
    if at < end and at[0] == c'-':
        at += 1
    before = at
    at = digits(at, end)
    cursor[0] = at
    if at == before or (before[0] == c'0' and at - before > 1):
        return BAD_JSON
    if at < end and at[0] == c'.':
        before = at + 1
        at = digits(before, end)
        if at == before:
            return BAD_JSON
    if at < end and (at[0] | 0x20) == c'e':
        exponent = True
        at += 1
        if at < end and (at[0] == c'+' or at[0] == c'-'):
            at += 1
        before = at
        at = digits(before, end)
        if at == before:
            return BAD_JSON
    cursor[0] = at
    if exponent or at - start > SAFE_DIGITS:
        return finite(start, at)
    return OK


cdef inline uint8_t* put_utf8(uint8_t* out, int point) noexcept nogil:
    if point < 0x80:
        out[0] = <uint8_t>point
        return out + 1
    if point < 0x800:
        out[0] = <uint8_t>(0xC0 | point >> 6)
        out[1] = <uint8_t>(0x80 | point & 0x3F)
        return out + 2
    if point < 0x10000:
        out[0] = <uint8_t>(0xE0 | point >> 12)
        out[1] = <uint8_t>(0x80 | point >> 6 & 0x3F)
        out[2] = <uint8_t>(0x80 | point & 0x3F)
        return out + 3
    out[0] = <uint8_t>(0xF0 | point >> 18)
    out[1] = <uint8_t>(0x80 | point >> 12 & 0x3F)
    out[2] = <uint8_t>(0x80 | point >> 6 & 0x3F)
    out[3] = <uint8_t>(0x80 | point & 0x3F)
    return out + 4


cdef inline uint8_t simple_escape(uint8_t letter) noexcept nogil:
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


cdef Py_ssize_t unescape(Span raw, uint8_t* out) noexcept nogil:
    """Decodes a string body that `string` accepted; `out` has room for raw.len bytes, the result is never longer."""
    cdef const uint8_t* at = raw.ptr
    cdef const uint8_t* end = raw.ptr + raw.len
    cdef uint8_t* start = out
    cdef int point
    while at < end:
        if at[0] != c'\\':
            out[0] = at[0]
            out += 1
            at += 1
        elif at[1] != c'u':
            out[0] = simple_escape(at[1])
            out += 1
            at += 2
        else:
            point = unicode_escape(at + 2, end)
            at += 6
            if 0xD800 <= point <= 0xDBFF:
                point = 0x10000 + ((point - 0xD800) << 10) + (unicode_escape(at + 2, end) - 0xDC00)
                at += 6
            out = put_utf8(out, point)
    return out - start


cdef Py_ssize_t escaped_size(Span text) noexcept nogil:
    """How many bytes `escape` writes for a valid UTF-8 text."""
    cdef const uint8_t* at = text.ptr
    cdef const uint8_t* end = text.ptr + text.len
    cdef Py_ssize_t size = text.len
    while True:
        at += lm_plain_prefix(at, <size_t>(end - at))
        if at >= end:
            return size
        if at[0] < 0x20:
            size += 5
        elif at[0] < 0x80:
            size += 1
        at += 1


cdef uint8_t* escape(Span text, uint8_t* out) noexcept nogil:
    """Writes a valid UTF-8 text as a JSON string body, escaping only what RFC 8259 section 7 demands."""
    cdef const char* hexes = "0123456789abcdef"
    cdef const uint8_t* at = text.ptr
    cdef const uint8_t* end = text.ptr + text.len
    cdef size_t run
    while True:
        run = lm_plain_prefix(at, <size_t>(end - at))
        memcpy(out, at, run)
        at += run
        out += run
        if at >= end:
            return out
        if at[0] < 0x20:
            memcpy(out, <const char*>"\\u00", 4)
            out[4] = <uint8_t>hexes[at[0] >> 4]
            out[5] = <uint8_t>hexes[at[0] & 15]
            out += 6
        else:
            if at[0] < 0x80:
                out[0] = c'\\'
                out += 1
            out[0] = at[0]
            out += 1
        at += 1
