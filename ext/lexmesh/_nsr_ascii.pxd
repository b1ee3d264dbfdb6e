"""What the decoding stages share: classes of ASCII characters and the writing of code points."""

from libc.stdint cimport uint8_t, uint32_t

from lexmesh._buffer cimport Buffer

cdef enum:
    INVALID = 0xFFFD


cdef inline int hex_value(uint8_t c) noexcept nogil:
    if c'0' <= c <= c'9':
        return c - c'0'
    if c'a' <= (c | 0x20) <= c'f':
        return (c | 0x20) - c'a' + 10
    return -1


cdef inline bint is_digit(uint8_t c) noexcept nogil:
    return c'0' <= c <= c'9'


cdef inline bint is_letter(uint8_t c) noexcept nogil:
    return c'a' <= (c | 0x20) <= c'z'


cdef inline bint is_space(uint8_t c) noexcept nogil:
    return c == c' ' or c == c'\n' or c == c'\r' or c == c'\t'


cdef inline Py_ssize_t hex_digits(const uint8_t* at, const uint8_t* end, int count, uint32_t* value) noexcept nogil:
    """Reads exactly `count` hex digits; returns how many it took, 0 if they are not there."""
    cdef int i
    value[0] = 0
    if end - at < count:
        return 0
    for i in range(count):
        if hex_value(at[i]) < 0:
            return 0
        value[0] = value[0] << 4 | <uint32_t>hex_value(at[i])
    return count


cdef inline uint32_t valid_point(uint32_t point) noexcept nogil:
    return INVALID if point == 0 or point > 0x10FFFF or 0xD800 <= point <= 0xDFFF else point


cdef inline void put_point(Buffer* out, uint32_t point) noexcept nogil:
    """Writes UTF-8; the caller has reserved 4 bytes."""
    cdef uint8_t* to = out.ptr + out.len
    if point < 0x80:
        to[0] = <uint8_t>point
        out.len += 1
    elif point < 0x800:
        to[0] = <uint8_t>(0xC0 | point >> 6)
        to[1] = <uint8_t>(0x80 | point & 0x3F)
        out.len += 2
    elif point < 0x10000:
        to[0] = <uint8_t>(0xE0 | point >> 12)
        to[1] = <uint8_t>(0x80 | point >> 6 & 0x3F)
        to[2] = <uint8_t>(0x80 | point & 0x3F)
        out.len += 3
    else:
        to[0] = <uint8_t>(0xF0 | point >> 18)
        to[1] = <uint8_t>(0x80 | point >> 12 & 0x3F)
        to[2] = <uint8_t>(0x80 | point >> 6 & 0x3F)
        to[3] = <uint8_t>(0x80 | point & 0x3F)
        out.len += 4
