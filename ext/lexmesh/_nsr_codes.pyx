"""Characters by their numbers: hex by ones, twos or fours, decimal, octal, `U+0066`.

Numbers with a dot between them are addresses or fractions, decimal ones with a hyphen telephone numbers or dates.
"""

from lexmesh._nsr_ascii cimport hex_value, is_digit, is_letter, is_space
from lexmesh._span cimport span

cdef enum:
    MIN_BYTES = 4       # letters of the shortest word that is looked for as numbers
    MIN_NUMBERS = 2
    MAX_GAP = 24        # bytes between two numbers: an indented list
    MAX_SIGNS = 4       # of them no white space
    MAX_DIGITS = 8


cdef inline Span number_at(Span text, Py_ssize_t at) noexcept nogil:
    cdef Py_ssize_t last = at
    while last < text.len and (is_digit(text.ptr[last]) or is_letter(text.ptr[last])):
        last += 1
    return span(text.ptr + at, last - at)


cdef inline int notation(Span text, Py_ssize_t at) noexcept nogil:
    """How a number is marked: `0x`, `U+` or not at all. Those in a row are marked alike."""
    if text.len - at > 2 and text.ptr[at] == c'0' and (text.ptr[at + 1] | 0x20) == c'x':
        return 1
    return 2 if at >= 2 and text.ptr[at - 1] == c'+' and (text.ptr[at - 2] | 0x20) == c'u' else 0


cdef inline int hex_bytes(Span digits, uint8_t* out) noexcept nogil:
    cdef Py_ssize_t i
    if digits.len > 2 and digits.ptr[0] == c'0' and (digits.ptr[1] | 0x20) == c'x':
        digits = span(digits.ptr + 2, digits.len - 2)
    if digits.len & 1 or not 2 <= digits.len <= MAX_DIGITS:
        return 0
    for i in range(digits.len):
        if hex_value(digits.ptr[i]) < 0:
            return 0
    for i in range(digits.len // 2):
        out[i] = <uint8_t>(hex_value(digits.ptr[2 * i]) * 16 + hex_value(digits.ptr[2 * i + 1]))
    return <int>(digits.len // 2)


cdef inline int one_byte(Span digits, int base, uint8_t* out) noexcept nogil:
    cdef Py_ssize_t i
    cdef int value = 0
    for i in range(digits.len):
        if not c'0' <= digits.ptr[i] < c'0' + base:
            return 0
        value = value * base + digits.ptr[i] - c'0'
    out[0] = <uint8_t>value
    return value < 256


cdef inline int number_bytes(Span number, Base base, uint8_t* out) noexcept nogil:
    """The bytes that a number stands for, at most four; 0 if it is none of this base."""
    if base == HEX_CODES:
        return hex_bytes(number, out)
    if base == DECIMAL_CODES:
        return one_byte(number, 10, out) if 2 <= number.len <= 3 else 0
    if number.len == 5 and number.ptr[0] == c'0' and (number.ptr[1] | 0x20) == c'o':
        number = span(number.ptr + 2, 3)
    elif number.len == 4 and number.ptr[0] == c'0':
        number = span(number.ptr + 1, 3)
    return one_byte(number, 8, out) if number.len == 3 else 0


cdef Py_ssize_t gap_end(Span text, Base base, Py_ssize_t at) noexcept nogil:
    """Where the next number begins; -1 if what is between parts them for good."""
    cdef Py_ssize_t first = at
    cdef int signs = 0
    cdef uint8_t c
    while at < text.len and at - first <= MAX_GAP:
        c = text.ptr[at]
        if (c | 0x20) == c'u' and at + 1 < text.len and text.ptr[at + 1] == c'+':
            at += 2
            continue
        if is_digit(c) or is_letter(c):
            break
        if c == c'.' or c >= 0x80 or (c == c'-' and base == DECIMAL_CODES):
            return -1
        signs += not is_space(c)
        at += 1
    if at >= text.len or at - first > MAX_GAP or at == first or signs > MAX_SIGNS:
        return -1
    return at


cdef bint next_codes(Span text, Base base, Py_ssize_t* at, Buffer* out) noexcept nogil:
    """Finds the next numbers in a row, and writes the bytes that they stand for.

    The caller has reserved as many bytes as the text has.
    """
    cdef Span number
    cdef Py_ssize_t following
    cdef int count, size, marked
    while at[0] < text.len:
        if not (is_digit(text.ptr[at[0]]) or is_letter(text.ptr[at[0]])):
            at[0] += 1
            continue
        out.len = count = 0
        following = at[0]
        marked = notation(text, following)
        while following >= 0:
            if notation(text, following) != marked:
                at[0] = following
                break
            number = number_at(text, following)
            at[0] = following + number.len
            size = number_bytes(number, base, out.ptr + out.len)
            if size == 0:
                break
            out.len += size
            count += 1
            following = gap_end(text, base, at[0])
        if count >= MIN_NUMBERS and out.len >= MIN_BYTES:
            return True
    return False


cdef inline bint is_printable(uint8_t c) noexcept nogil:
    return 0x20 <= c < 0x7F


cdef Span printable_part(Span data) noexcept nogil:
    """What is left without the bytes at both ends that are no printable ASCII: words such as `be`, other numbers."""
    while data.len and not is_printable(data.ptr[0]):
        data = span(data.ptr + 1, data.len - 1)
    while data.len and not is_printable(data.ptr[data.len - 1]):
        data.len -= 1
    return data


cdef int code_kinds(Span text) noexcept nogil:
    """Which of LM_NUMBERS and LM_EQUALS a text might hold; 0 proves that it has neither."""
    return lm_code_kinds(text.ptr, <size_t>text.len)


def may_hold_codes(bytes text not None):
    """Whether `text` might hold characters by their numbers or quoted-printable, for tests."""
    return code_kinds(span(<const uint8_t*><const char*>text, len(text))) != 0


def holds_codes(bytes text not None):
    """Whether `text` holds numbers in a row that are characters, for tests."""
    cdef bytearray room = bytearray(len(text) + MAX_DIGITS)
    cdef Buffer out
    cdef Py_ssize_t at
    cdef int base
    out.ptr = <uint8_t*><char*>room
    out.capacity = len(room)
    for base in range(HEX_CODES, OCTAL_CODES + 1):
        at = out.len = 0
        if next_codes(span(<const uint8_t*><const char*>text, len(text)), <Base>base, &at, &out):
            return True
    return False
