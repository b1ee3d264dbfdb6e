"""UTF-16 and UTF-32, told from their bytes as JSON parsers do (RFC 4627, section 3), and by how many are zero."""

from libc.stdint cimport uint32_t
from libc.string cimport memchr

from lexmesh._buffer cimport reserve
from lexmesh._nsr_ascii cimport put_point, valid_point

cdef enum:
    SHARE = 4           # one of so many units must be ASCII, or the text must begin with one or with a byte order mark


cdef inline uint32_t unit16(const uint8_t* at, Wide form) noexcept nogil:
    return at[0] | <uint32_t>at[1] << 8 if form == UTF16_LE else at[1] | <uint32_t>at[0] << 8


cdef inline uint32_t unit32(const uint8_t* at, Wide form) noexcept nogil:
    if form == UTF32_LE:
        return at[0] | <uint32_t>at[1] << 8 | <uint32_t>at[2] << 16 | <uint32_t>at[3] << 24
    return at[3] | <uint32_t>at[2] << 8 | <uint32_t>at[1] << 16 | <uint32_t>at[0] << 24


cdef inline bint is_mark(uint32_t unit) noexcept nogil:
    return unit == 0xFEFF


cdef inline bint is_ascii(uint32_t unit) noexcept nogil:
    return 0 < unit < 0x80


cdef bint is_utf16(Span data, Wide form) noexcept nogil:
    cdef Py_ssize_t units = data.len // 2
    cdef Py_ssize_t ascii = 0
    cdef Py_ssize_t i
    cdef uint32_t first = unit16(data.ptr, form)
    if is_mark(first) or is_ascii(first):
        return True
    for i in range(units):
        ascii += is_ascii(unit16(data.ptr + 2 * i, form))
    return ascii * SHARE >= units


cdef bint is_utf32(Span data, Wide form) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint32_t point
    for i in range(data.len // 4):
        point = unit32(data.ptr + 4 * i, form)
        if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
            return False
    return True


cdef int wide_forms(Span data) noexcept nogil:
    """The forms (bits of Wide) that the bytes may be text in; without a byte order mark some of them are zero."""
    cdef int forms = 0
    if data.len < 4:
        return 0
    if memchr(data.ptr, 0, <size_t>data.len) == NULL and not is_mark(unit16(data.ptr, UTF16_LE)) and (
            not is_mark(unit16(data.ptr, UTF16_BE))):
        return 0
    if is_utf16(data, UTF16_LE):
        forms |= UTF16_LE
    if is_utf16(data, UTF16_BE):
        forms |= UTF16_BE
    if is_utf32(data, UTF32_LE):
        forms |= UTF32_LE
    if is_utf32(data, UTF32_BE):
        forms |= UTF32_BE
    return forms


cdef bint from_wide(Span data, Wide form, Buffer* out) noexcept nogil:
    """Writes UTF-16 or UTF-32 as UTF-8, what is invalid as U+FFFD; a unit cut off is dropped. False: no memory."""
    cdef Py_ssize_t size = 2 if form == UTF16_LE or form == UTF16_BE else 4
    cdef Py_ssize_t at = 0
    cdef uint32_t point, low
    out.len = 0
    if not reserve(out, data.len * 2 + 4):
        return False
    while data.len - at >= size:
        point = unit16(data.ptr + at, form) if size == 2 else unit32(data.ptr + at, form)
        at += size
        if size == 2 and 0xD800 <= point <= 0xDBFF and data.len - at >= 2:
            low = unit16(data.ptr + at, form)
            if 0xDC00 <= low <= 0xDFFF:
                point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00)
                at += 2
        put_point(out, valid_point(point))
    return True
