"""Reads JSON text that the strict walk has let pass into the Python values that orjson makes of it.

Such a text need not be judged again: what is looked for is only where its parts end. Keys come from the names kept.
Long texts are left to orjson, and so are those with numbers that have exponents or more digits than fit 64 bits.
"""

from cpython.dict cimport PyDict_New, PyDict_SetItem
from cpython.float cimport PyFloat_FromDouble
from cpython.list cimport PyList_Append, PyList_New
from cpython.long cimport PyLong_FromLongLong
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from lexmesh._json cimport MAX_NESTING
from lexmesh._json_text cimport after_space, any_string, plain_string, unescape
from lexmesh._names cimport plain_name_at, plain_text_at, text_at
from lexmesh._span cimport OK, Span, span

cdef extern from "text.h" nogil:
    bint lm_eight_digits(const uint8_t* ptr, uint64_t* value) noexcept
    bint lm_begins(const uint8_t* ptr, size_t available, const uint8_t* expected, size_t length) noexcept

cdef extern from "decimal.h" nogil:
    bint lm_decimal(uint64_t digits, unsigned int decimals, double* value) noexcept

cdef enum:
    MOST_DIGITS = 18    # of an integer here; any of so many fits 64 bits, its sign too
    MOST_FLOAT = 19     # of a decimal's digits, but for a zero before its point: they fit 64 bits
    MOST_KNOWN = 8      # keys of the last outermost object that are remembered
    MOST_READ = 1024    # bytes of a text; orjson reads long ones faster


cdef struct KnownKey:
    uint8_t text[16]    # `"key":` and the space before the colon
    uint8_t len         # more than 16: nothing


LEFT = object()
cdef KnownKey[MOST_KNOWN] known
cdef list known_keys = [None] * MOST_KNOWN
cdef int place
for place in range(MOST_KNOWN):
    known[place].len = 255


cdef inline const uint8_t* digits_end(const uint8_t* at, const uint8_t* end, uint64_t* value) noexcept:
    """Reads on in a number whose digits so far are `value`; more than 19 in all wrap around."""
    cdef uint64_t eight
    while end - at >= 8 and lm_eight_digits(at, &eight):
        value[0] = value[0] * 100000000 + eight
        at += 8
    while at < end and c'0' <= at[0] <= c'9':
        value[0] = value[0] * 10 + at[0] - c'0'
        at += 1
    return at


cdef object number_at(const uint8_t** cursor, const uint8_t* end):
    cdef const uint8_t* first = cursor[0] + (cursor[0][0] == c'-')
    cdef bint negative = first != cursor[0]
    cdef uint64_t magnitude = 0
    cdef const uint8_t* point = digits_end(first, end, &magnitude)
    cdef const uint8_t* at = point
    cdef double value
    if at < end and at[0] == c'.':
        at = digits_end(point + 1, end, &magnitude)
    cursor[0] = at
    if at == first or (at < end and (at[0] | 0x20) == c'e'):
        return LEFT
    if at == point:
        if at - first > MOST_DIGITS or (negative and magnitude == 0):
            return LEFT
        return PyLong_FromLongLong(-<int64_t>magnitude if negative else <int64_t>magnitude)
    if at - first - 1 - (first[0] == c'0') > MOST_FLOAT or not lm_decimal(
            magnitude, <unsigned int>(at - point - 1), &value):
        return LEFT
    return PyFloat_FromDouble(-value if negative else value)


cdef object unescaped(Span raw):
    cdef uint8_t* out = <uint8_t*>PyMem_Malloc(<size_t>raw.len)
    if out == NULL:
        raise MemoryError
    try:
        return PyUnicode_DecodeUTF8(<const char*>out, unescape(raw, out), NULL)
    finally:
        PyMem_Free(out)


cdef object other_string(const uint8_t** cursor, const uint8_t* end):
    """A string that is not ASCII or has escapes."""
    cdef Span raw
    cdef bint escaped
    if any_string(cursor, end, &raw, &escaped) != OK:
        return LEFT
    return unescaped(raw) if escaped else text_at(raw)


cdef inline object string_at(const uint8_t** cursor, const uint8_t* end):
    cdef Span text
    return plain_text_at(text) if plain_string(cursor, end, &text) else other_string(cursor, end)


cdef object key_at(const uint8_t** cursor, const uint8_t* end, int place):
    """A key, and the colon behind it; `place`: the next outermost object is expected to have it there."""
    cdef const uint8_t* at = cursor[0]
    cdef Span text
    cdef object key
    if at >= end or at[0] != c'"':
        return LEFT
    if plain_string(cursor, end, &text):
        key = plain_name_at(text)
    else:
        key = other_string(cursor, end)
        place = MOST_KNOWN
    cursor[0] = after_space(cursor[0], end)
    if cursor[0] >= end or cursor[0][0] != c':':
        return LEFT
    cursor[0] += 1
    if place < MOST_KNOWN and cursor[0] - at <= 16:
        memcpy(known[place].text, at, <size_t>(cursor[0] - at))
        known[place].len = <uint8_t>(cursor[0] - at)
        known_keys[place] = key
    return key


cdef inline object expected_key(const uint8_t** cursor, const uint8_t* end, int place):
    """key_at, which need not read again a key that stood in this place of the last outermost object."""
    if place >= MOST_KNOWN or not lm_begins(
            cursor[0], <size_t>(end - cursor[0]), known[place].text, known[place].len):
        return key_at(cursor, end, place)
    cursor[0] += known[place].len
    return known_keys[place]


cdef inline bint goes_on(const uint8_t** cursor, const uint8_t* end) noexcept:
    """Whether a comma follows, with space around it."""
    cursor[0] = after_space(cursor[0], end)
    if cursor[0] >= end or cursor[0][0] != c',':
        return False
    cursor[0] = after_space(cursor[0] + 1, end)
    return True


cdef inline bint closes(const uint8_t** cursor, const uint8_t* end, uint8_t bracket) noexcept:
    if cursor[0] >= end or cursor[0][0] != bracket:
        return False
    cursor[0] += 1
    return True


cdef object object_at(const uint8_t** cursor, const uint8_t* end, int depth):
    cdef object members = PyDict_New()
    cdef object key, value
    cdef int place = 0 if depth == 1 else MOST_KNOWN
    cursor[0] = after_space(cursor[0] + 1, end)
    if closes(cursor, end, c'}'):
        return members
    while True:
        key = expected_key(cursor, end, place)
        if key is LEFT:
            return LEFT
        place += 1
        cursor[0] = after_space(cursor[0], end)
        value = value_at(cursor, end, depth)
        if value is LEFT:
            return LEFT
        PyDict_SetItem(members, key, value)
        if not goes_on(cursor, end):
            return members if closes(cursor, end, c'}') else LEFT


cdef object array_at(const uint8_t** cursor, const uint8_t* end, int depth):
    cdef object items = PyList_New(0)
    cdef object item
    cursor[0] = after_space(cursor[0] + 1, end)
    if closes(cursor, end, c']'):
        return items
    while True:
        item = value_at(cursor, end, depth)
        if item is LEFT:
            return LEFT
        PyList_Append(items, item)
        if not goes_on(cursor, end):
            return items if closes(cursor, end, c']') else LEFT


cdef inline bint word_at(const uint8_t** cursor, const uint8_t* end, const char* word, Py_ssize_t length) noexcept:
    if end - cursor[0] < length or memcmp(cursor[0], word, <size_t>length) != 0:
        return False
    cursor[0] += length
    return True


cdef object value_at(const uint8_t** cursor, const uint8_t* end, int depth):
    """The value at the cursor, LEFT if it is left to orjson; `depth` is how many containers are open."""
    cdef uint8_t lead
    if cursor[0] >= end or depth > MAX_NESTING:
        return LEFT
    lead = cursor[0][0]
    if lead == c'"':
        return string_at(cursor, end)
    if lead == c'{':
        return object_at(cursor, end, depth + 1)
    if lead == c'[':
        return array_at(cursor, end, depth + 1)
    if lead == c't':
        return True if word_at(cursor, end, "true", 4) else LEFT
    if lead == c'f':
        return False if word_at(cursor, end, "false", 5) else LEFT
    if lead == c'n':
        return None if word_at(cursor, end, "null", 4) else LEFT
    return number_at(cursor, end)


cdef object load(Span text):
    """The value of a text that is strict JSON, LEFT if it is left to orjson."""
    cdef const uint8_t* end = text.ptr + text.len
    cdef const uint8_t* cursor = after_space(text.ptr, end)
    cdef object value
    if text.len > MOST_READ:
        return LEFT
    value = value_at(&cursor, end, 0)
    return value if after_space(cursor, end) == end else LEFT


def loaded(bytes text not None):
    """What this module reads in a text.

    Args:
        text: strict JSON.

    Returns:
        A tuple of the value, None for what is left to orjson.
    """
    cdef object value = load(span(<const uint8_t*>text, len(text)))
    return None if value is LEFT else (value,)
