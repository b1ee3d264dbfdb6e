"""Characters set apart: an encoding written as `a-G-F-y-b-Q` or `% 6 6 % 6 F`.

Letters set apart are words to _nsr_fold, which reads them whatever stands between. Here a separator repeats, and what
it parts is any ASCII character. Enough of them are letters or digits that the prefilter has noted letters set apart.
"""

from libc.string cimport memcmp

from lexmesh._nsr_ascii cimport is_digit, is_letter, is_space

cdef enum:
    CLOSE = 8           # bytes apart at most, as in nsr_prefilter.h


cdef inline bint is_alnum(uint8_t c) noexcept nogil:
    return is_letter(c) or is_digit(c)


cdef inline bint separates(const uint8_t* at, int length) noexcept nogil:
    cdef int i
    for i in range(length):
        if is_alnum(at[i]):
            return False
    return True


cdef inline Py_ssize_t spread_length(Span text, Py_ssize_t at, int period) noexcept nogil:
    """How many characters from `at` on are parted by the same separator."""
    cdef const uint8_t* separator = text.ptr + at + 1
    cdef Py_ssize_t count = 0
    if not separates(separator, period - 1):
        return 0
    while at < text.len and (0x20 <= text.ptr[at] < 0x7F or is_space(text.ptr[at])):
        count += 1
        if text.len - at < period or memcmp(text.ptr + at + 1, separator, <size_t>(period - 1)) != 0:
            break
        at += period
    return count


cdef bint is_close(Span text, Py_ssize_t at, int period, Py_ssize_t count, int least) noexcept nogil:
    """Whether enough letters and digits of a spread follow each other closely."""
    cdef Py_ssize_t last = at - CLOSE - 1
    cdef Py_ssize_t i
    cdef int close = 0
    for i in range(count):
        if is_alnum(text.ptr[at]) and (at == 0 or not is_alnum(text.ptr[at - 1])) and (
                at + 1 == text.len or not is_alnum(text.ptr[at + 1])):
            close = close + 1 if at - last <= CLOSE else 1
            last = at
            if close >= least:
                return True
        at += period
    return False


cdef bint next_spread(Span text, int period, int least, Py_ssize_t* at, Buffer* out) noexcept nogil:
    """Finds the next characters that stand `period` bytes apart, and writes them side by side.

    At least `least` of them, MIN_CLOSE or more, are letters and digits that follow each other closely.
    The caller has reserved as many bytes as the text has.
    """
    cdef Py_ssize_t count, first, i
    while at[0] + period <= text.len:
        first = at[0]
        count = spread_length(text, first, period)
        at[0] += 1 if count < MIN_CLOSE else (count - 1) * period      # the last may begin another
        if count >= MIN_CLOSE and is_close(text, first, period, count, least):
            out.len = count
            for i in range(count):
                out.ptr[i] = text.ptr[first + i * period]
            return True
    return False
