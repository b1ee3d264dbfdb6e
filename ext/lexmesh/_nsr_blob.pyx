"""Base64 and hex of plausible text: finding the runs, decoding them, and telling text from noise."""

from lexmesh._buffer cimport reserve
from lexmesh._nsr_ascii cimport hex_value, is_digit, is_letter
from lexmesh._span cimport span

cdef extern from "text.h" nogil:
    size_t lm_utf8_step(const uint8_t* ptr, size_t length) noexcept

cdef enum:
    MIN_BASE64 = 6      # characters without padding: four letters
    MIN_HEX = 8


cdef inline int base64_value(uint8_t c) noexcept nogil:
    if c'A' <= c <= c'Z':
        return c - c'A'
    if c'a' <= c <= c'z':
        return c - c'a' + 26
    if c'0' <= c <= c'9':
        return c - c'0' + 52
    if c == c'+' or c == c'-':
        return 62
    if c == c'/' or c == c'_':
        return 63
    return -1


cdef inline bint belongs(uint8_t c, Alphabet alphabet) noexcept nogil:
    if alphabet == HEX:
        return hex_value(c) >= 0
    if is_letter(c) or is_digit(c):
        return True
    return c == c'+' or c == c'/' if alphabet == BASE64 else c == c'-' or c == c'_'


cdef bint worth_decoding(Span run) noexcept nogil:
    """Whether a run can be base64 and not a plain word: `aGFybQ`, but not `harmony`, `Sensor` or `node_01`."""
    cdef Py_ssize_t i
    cdef uint8_t before = 0
    cdef bint upper = False
    cdef bint digit = False
    cdef uint8_t c
    for i in range(run.len):
        c = run.ptr[i]
        digit = digit or is_digit(c)
        if c'A' <= c <= c'Z':
            upper = True
            if is_letter(before) or is_digit(before):
                return True
        before = c
    return upper and digit


cdef inline bint is_hex_digit_of_text(uint8_t c) noexcept nogil:
    return c'2' <= c <= c'7'


cdef bint is_hex_of_text(Span run) noexcept nogil:
    """Whether a run can be hex of text and not a plain number.

    It has digits and letters; or only digits and among them, at every other place, four from 2 to 7, as the first
    digits of ASCII letters are. (UTF-8 beyond ASCII has letters.)
    """
    cdef Py_ssize_t i
    cdef bint digit = False
    cdef bint letter = False
    for i in range(run.len):
        digit = digit or is_digit(run.ptr[i])
        letter = letter or is_letter(run.ptr[i])
        if i >= 6 and is_hex_digit_of_text(run.ptr[i]) and is_hex_digit_of_text(run.ptr[i - 2]) and (
                is_hex_digit_of_text(run.ptr[i - 4]) and is_hex_digit_of_text(run.ptr[i - 6])):
            return True
    return digit and letter


cdef bint next_run(Span text, Alphabet alphabet, Py_ssize_t* at, Span* run) noexcept nogil:
    """Finds the next run of an alphabet that is worth decoding, from `at` on."""
    cdef Py_ssize_t first
    while at[0] < text.len:
        while at[0] < text.len and not belongs(text.ptr[at[0]], alphabet):
            at[0] += 1
        first = at[0]
        while at[0] < text.len and belongs(text.ptr[at[0]], alphabet):
            at[0] += 1
        run[0] = span(text.ptr + first, at[0] - first)
        if alphabet == HEX:
            if run.len >= MIN_HEX and is_hex_of_text(run[0]):
                return True
        elif run.len >= MIN_BASE64 and worth_decoding(run[0]):
            return True
    return False


cdef bint decode_run(Span run, Alphabet alphabet, Buffer* out) noexcept nogil:
    return decode_hex(run, out) if alphabet == HEX else decode_base64(run, out)


cdef bint decode_base64(Span run, Buffer* out) noexcept nogil:
    """Decodes whole bytes; left over bits are dropped. False: no memory."""
    cdef Py_ssize_t i
    cdef uint32_t bits = 0
    out.len = 0
    if not reserve(out, run.len):
        return False
    for i in range(run.len):
        bits = bits << 6 | <uint32_t>base64_value(run.ptr[i])
        if i & 3:
            out.ptr[out.len] = <uint8_t>(bits >> (6 - 2 * (i & 3)))
            out.len += 1
    return True


cdef bint decode_hex(Span run, Buffer* out) noexcept nogil:
    cdef Py_ssize_t i
    out.len = 0
    if not reserve(out, run.len):
        return False
    for i in range(run.len // 2):
        out.ptr[i] = <uint8_t>(hex_value(run.ptr[2 * i]) * 16 + hex_value(run.ptr[2 * i + 1]))
    out.len = run.len // 2
    return True


cdef bint is_plausible(Span text) noexcept nogil:
    """Whether decoded bytes look like text: of eight bytes at most one is a control character or not UTF-8."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t bad = 0
    cdef Py_ssize_t step
    while at < text.len:
        step = <Py_ssize_t>lm_utf8_step(text.ptr + at, <size_t>(text.len - at))
        if step == 0:
            step = 1
            bad += 1
        elif text.ptr[at] == 0x7F or (text.ptr[at] < 0x20 and text.ptr[at] not in b"\t\n\r"):
            bad += 1
        at += step
    return bad * 8 <= text.len
