"""Percent signs, HTML entities, backslashes and quoted-printable: escapes of single characters.

Every function is one pass over its input and never fails on malformed text. Chains of one kind (`%252566`,
`&amp;amp;#102;`, `\\\\u0066`) are undone to any depth in that pass; mixtures take one pass for each level.
"""

from libc.string cimport memcmp, strlen

from lexmesh._buffer cimport append, reserve
from lexmesh._nsr_ascii cimport hex_digits, hex_value, is_digit, is_letter, put_point, valid_point

cdef extern from "nsr_entity_tables.h" nogil:
    ctypedef struct lm_entity:
        const char* name
        const char* text
    const lm_entity lm_entities[]
    int LM_ENTITIES

cdef extern from "text.h" nogil:
    size_t lm_utf8_step(const uint8_t* ptr, size_t length) noexcept

cdef enum:
    MAX_ENTITY_NAME = 32


cdef inline bint hex_pair(const uint8_t* at, const uint8_t* end, uint32_t* value) noexcept nogil:
    if end - at < 2 or hex_value(at[0]) < 0 or hex_value(at[1]) < 0:
        return False
    value[0] = <uint32_t>(hex_value(at[0]) * 16 + hex_value(at[1]))
    return True


cdef Py_ssize_t percent(const uint8_t* at, const uint8_t* end, Buffer* out) noexcept nogil:
    """Undoes `%66`, `%252566` and `%u0066` at a percent sign; returns the bytes taken, 0 for none."""
    cdef const uint8_t* digits = at + 1
    cdef uint32_t value
    while end - digits >= 2 and digits[0] == c'2' and digits[1] == c'5':
        digits += 2
    if hex_pair(digits, end, &value):
        digits += 2
    elif digits < end and (digits[0] | 0x20) == c'u' and hex_digits(digits + 1, end, 4, &value):
        put_point(out, valid_point(value))
        return digits + 5 - at
    elif digits > at + 1:
        value = c'%'
    else:
        return 0
    out.ptr[out.len] = <uint8_t>value
    out.len += 1
    return digits - at


cdef Py_ssize_t numeric_entity(const uint8_t* at, const uint8_t* end, uint32_t* point) noexcept nogil:
    """Reads `#102;` or `#x66;` (the semicolon may be missing); returns its length, 0 for none."""
    cdef const uint8_t* first = at + 1
    cdef const uint8_t* digit
    cdef uint32_t base = 10
    cdef uint32_t value = 0
    if at >= end or at[0] != c'#':
        return 0
    if first < end and (first[0] | 0x20) == c'x':
        base = 16
        first += 1
    digit = first
    while digit < end and hex_value(digit[0]) >= 0 and (base == 16 or is_digit(digit[0])):
        value = value * base + <uint32_t>hex_value(digit[0])
        if value > 0x10FFFF:
            value = 0x110000
        digit += 1
    if digit == first:
        return 0
    point[0] = valid_point(value)
    if digit < end and digit[0] == c';':
        digit += 1
    return digit - at


cdef const char* entity_text(const uint8_t* name, Py_ssize_t length) noexcept nogil:
    cdef int low = 0
    cdef int high = LM_ENTITIES
    cdef int middle, order
    cdef Py_ssize_t other
    while low < high:
        middle = (low + high) // 2
        other = <Py_ssize_t>strlen(lm_entities[middle].name)
        order = memcmp(name, lm_entities[middle].name, <size_t>min(length, other))
        if order == 0 and length == other:
            return lm_entities[middle].text
        if order < 0 or (order == 0 and length < other):
            high = middle
        else:
            low = middle + 1
    return NULL


cdef Py_ssize_t named_entity(const uint8_t* at, const uint8_t* end, Buffer* out) noexcept nogil:
    """Undoes `fork;` at `at`; returns the bytes taken, 0 for none."""
    cdef const uint8_t* last = at
    cdef const char* text
    while last < end and last - at <= MAX_ENTITY_NAME and (is_letter(last[0]) or is_digit(last[0])):
        last += 1
    if last >= end or last[0] != c';' or last == at:
        return 0
    text = entity_text(at, last - at)
    if text == NULL:
        return 0
    append(out, text, <Py_ssize_t>strlen(text))
    return last + 1 - at


cdef Py_ssize_t entity(const uint8_t* at, const uint8_t* end, Buffer* out) noexcept nogil:
    """Undoes `&#102;`, `&amp;#102;` and `&amp;amp;` at an ampersand; returns the bytes taken, 0 for none."""
    cdef const uint8_t* name = at + 1
    cdef uint32_t point
    cdef Py_ssize_t length
    while end - name >= 4 and memcmp(name, <const char*>"amp;", 4) == 0:
        name += 4
    length = numeric_entity(name, end, &point)
    if length:
        put_point(out, point)
        return name - at + length
    length = named_entity(name, end, out)
    if length:
        return name - at + length
    if name == at + 1:
        return 0
    out.ptr[out.len] = c'&'
    out.len += 1
    return name - at


cdef Py_ssize_t braced_digits(const uint8_t* at, const uint8_t* end, uint32_t* value) noexcept nogil:
    """Reads the `{1F600}` of `\\u{1F600}`."""
    cdef const uint8_t* digit = at + 1
    cdef uint32_t result = 0
    if at >= end or at[0] != c'{':
        return 0
    while digit < end and hex_value(digit[0]) >= 0:
        result = result << 4 | <uint32_t>hex_value(digit[0])
        if result > 0x10FFFF:
            result = 0x110000
        digit += 1
    if digit == at + 1 or digit >= end or digit[0] != c'}':
        return 0
    value[0] = result
    return digit + 1 - at


cdef const uint8_t* skip_backslashes(const uint8_t* at, const uint8_t* end) noexcept nogil:
    while at < end and at[0] == c'\\':
        at += 1
    return at


cdef Py_ssize_t low_surrogate(const uint8_t* at, const uint8_t* end, uint32_t* point) noexcept nogil:
    """Joins `\\uDC00`.. at `at` to the high surrogate in `point`; returns the bytes taken, 0 for none."""
    cdef const uint8_t* letter = skip_backslashes(at, end)
    cdef uint32_t low
    if letter == at or letter >= end or letter[0] != c'u' or not hex_digits(letter + 1, end, 4, &low):
        return 0
    if not 0xDC00 <= low <= 0xDFFF:
        return 0
    point[0] = 0x10000 + ((point[0] - 0xD800) << 10) + (low - 0xDC00)
    return letter + 5 - at


cdef Py_ssize_t byte_escape(const uint8_t* at, const uint8_t* end, uint8_t* value) noexcept nogil:
    """Reads `\\x66` or `\\146` at a backslash; returns its length, 0 for none."""
    cdef const uint8_t* letter = skip_backslashes(at, end)
    cdef uint32_t point
    if letter == at or end - letter < 3:
        return 0
    if letter[0] == c'x' and hex_pair(letter + 1, end, &point):
        value[0] = <uint8_t>point
        return letter + 3 - at
    if c'0' <= letter[0] <= c'3' and c'0' <= letter[1] <= c'7' and c'0' <= letter[2] <= c'7':
        value[0] = <uint8_t>((letter[0] - c'0') << 6 | (letter[1] - c'0') << 3 | (letter[2] - c'0'))
        return letter + 3 - at
    return 0


cdef Py_ssize_t escaped_bytes(const uint8_t* at, const uint8_t* end, Buffer* out) noexcept nogil:
    """Undoes byte escapes: as many as are one character of UTF-8, else one as Latin-1; returns the bytes taken."""
    cdef uint8_t values[4]
    cdef Py_ssize_t ends[4]
    cdef Py_ssize_t length = 0
    cdef Py_ssize_t step
    cdef int count = 0
    while count < 4:
        step = byte_escape(at + length, end, &values[count])
        if step == 0:
            break
        length += step
        ends[count] = length
        count += 1
    if count == 0:
        return 0
    step = <Py_ssize_t>lm_utf8_step(values, <size_t>count)
    if step > 1:
        append(out, values, step)
        return ends[step - 1]
    put_point(out, valid_point(values[0]))
    return ends[0]


cdef Py_ssize_t backslash(const uint8_t* at, const uint8_t* end, Buffer* out) noexcept nogil:
    """Undoes `\\u0066`, `\\\\u0066`, `\\x66`, `\\u{66}`, `\\U00000066`, `\\146`, `\\n` at a backslash; returns the bytes taken."""
    cdef const uint8_t* letter = skip_backslashes(at, end)
    cdef uint32_t point = 0
    cdef Py_ssize_t length = escaped_bytes(at, end, out)
    if length or letter >= end:
        return length
    if letter[0] == c'u':
        length = hex_digits(letter + 1, end, 4, &point)
        if length and 0xD800 <= point <= 0xDBFF:
            length += low_surrogate(letter + 5, end, &point)
        if not length:
            length = braced_digits(letter + 1, end, &point)
    elif letter[0] == c'U':
        length = hex_digits(letter + 1, end, 8, &point)
    elif letter[0] in b"nrtbfv0":
        out.ptr[out.len] = c' '
        out.len += 1
        return letter + 1 - at
    if length:
        put_point(out, valid_point(point))
        return letter + 1 + length - at
    return 0


cdef bint unescape_text(Span text, Buffer* out, bint* changed) noexcept nogil:
    """Writes `text` with percent, entity and backslash escapes undone; at most one level, but whole chains of one kind.

    The result can be longer than the text only by an entity's own text (at most 2 bytes more than its name).
    False: no memory.
    """
    cdef const uint8_t* at = text.ptr
    cdef const uint8_t* end = at + text.len
    cdef Py_ssize_t taken
    changed[0] = False
    out.len = 0
    if not reserve(out, text.len * 2 + 8):
        return False
    while at < end:
        taken = 0
        if at[0] == c'%':
            taken = percent(at, end, out)
        elif at[0] == c'&':
            taken = entity(at, end, out)
        elif at[0] == c'\\':
            taken = backslash(at, end, out)
        if taken:
            changed[0] = True
            at += taken
        elif at[0] == c'\\':
            taken = skip_backslashes(at, end) - at
            append(out, at, taken)
            at += taken
        else:
            out.ptr[out.len] = at[0]
            out.len += 1
            at += 1
    return True


cdef Py_ssize_t quoted(const uint8_t* at, const uint8_t* end, Buffer* out) noexcept nogil:
    """Undoes `=66` or the end of a line that goes on, at an equals sign; returns the bytes taken (RFC 2045, 6.7)."""
    cdef const uint8_t* after = at + 1
    cdef uint32_t value
    if hex_pair(after, end, &value):
        out.ptr[out.len] = <uint8_t>value
        out.len += 1
        return 3
    while after < end and (after[0] == c' ' or after[0] == c'\t' or after[0] == c'\r'):
        after += 1
    return after + 1 - at if after < end and after[0] == c'\n' else 0


cdef bint unescape_quoted(Span text, Buffer* out, bint* changed) noexcept nogil:
    """Writes `text` with quoted-printable undone. False: no memory."""
    cdef const uint8_t* at = text.ptr
    cdef const uint8_t* end = at + text.len
    cdef Py_ssize_t taken
    changed[0] = False
    out.len = 0
    if not reserve(out, text.len):
        return False
    while at < end:
        taken = quoted(at, end, out) if at[0] == c'=' else 0
        if taken:
            changed[0] = True
            at += taken
        else:
            out.ptr[out.len] = at[0]
            out.len += 1
            at += 1
    return True
