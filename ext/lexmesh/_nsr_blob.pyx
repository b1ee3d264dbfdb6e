"""Base64, base32 and hex of plausible text: finding the runs, decoding them, and telling text from noise."""

from lexmesh._buffer cimport append_span, reserve
from lexmesh._nsr_ascii cimport hex_value, is_digit, is_letter, is_space
from lexmesh._span cimport span

cdef extern from "text.h" nogil:
    size_t lm_utf8_step(const uint8_t* ptr, size_t length) noexcept

cdef enum:
    MIN_BASE64 = 6      # characters without padding: four letters
    MIN_BASE32 = 7
    MIN_HEX = 8
    MIN_LINE = 32       # characters of a line that belongs to the next one, whatever else it could be
    MAX_BREAK = 16      # white space where an encoding is broken: the end of a line and what the next is indented by


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
    if alphabet == BASE32:
        return c'A' <= c <= c'Z' or c'2' <= c <= c'7'
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


cdef bint is_base32_of_text(Span run) noexcept nogil:
    """Whether a run can be base32 and not a number: a letter follows another character."""
    cdef Py_ssize_t i
    for i in range(1, run.len):
        if is_letter(run.ptr[i]):
            return True
    return False


cdef inline Py_ssize_t shortest(Alphabet alphabet) noexcept nogil:
    if alphabet == HEX:
        return MIN_HEX
    return MIN_BASE32 if alphabet == BASE32 else MIN_BASE64


cdef inline bint is_worth(Span run, Alphabet alphabet) noexcept nogil:
    if run.len < shortest(alphabet):
        return False
    if alphabet == HEX:
        return is_hex_of_text(run)
    return is_base32_of_text(run) if alphabet == BASE32 else worth_decoding(run)


cdef inline Span run_at(Span text, Alphabet alphabet, Py_ssize_t first) noexcept nogil:
    cdef Py_ssize_t last = first
    while last < text.len and belongs(text.ptr[last], alphabet):
        last += 1
    return span(text.ptr + first, last - first)


cdef inline Span run_from(Span text, Alphabet alphabet, Py_ssize_t* at) noexcept nogil:
    """The next run from `at` on, which is moved behind it; an empty one at the end."""
    cdef Span run
    while at[0] < text.len and not belongs(text.ptr[at[0]], alphabet):
        at[0] += 1
    run = run_at(text, alphabet, at[0])
    at[0] += run.len
    return run


cdef inline Span after_break(Span text, Alphabet alphabet, Py_ssize_t at) noexcept nogil:
    """The run that stands after nothing but white space; an empty one if there is none."""
    cdef Py_ssize_t first = at
    while first < text.len and first - at <= MAX_BREAK and is_space(text.ptr[first]):
        first += 1
    if first - at > MAX_BREAK or first == at:
        return span(text.ptr + at, 0)
    return run_at(text, alphabet, first)


cdef inline bint is_whole_line(Span line, Alphabet alphabet) noexcept nogil:
    return line.len >= MIN_LINE and line.len % (2 if alphabet == HEX else 4) == 0


cdef bint is_part(Span text, Span run, Alphabet alphabet) noexcept nogil:
    """Whether a run is one line of several, so that the words at its ends may be parts of words."""
    cdef Py_ssize_t first = run.ptr - text.ptr
    cdef Span next_line = after_break(text, alphabet, first + run.len)
    cdef Py_ssize_t end = first
    if alphabet == BASE32:
        return False
    if is_whole_line(run, alphabet) and 0 < next_line.len <= run.len:
        return True
    while end > 0 and first - end <= MAX_BREAK and is_space(text.ptr[end - 1]):
        end -= 1
    if end == first or first - end > MAX_BREAK:
        return False
    first = end
    while first > 0 and belongs(text.ptr[first - 1], alphabet):
        first -= 1
    return end - first >= run.len and is_whole_line(span(text.ptr + first, end - first), alphabet)


cdef inline bint is_of_both(Span text, Span run) noexcept nogil:
    """Whether a run of BASE64_URL is one of BASE64 too, and so is decoded as such."""
    cdef const uint8_t* end = run.ptr + run.len
    cdef Py_ssize_t i
    if run.ptr > text.ptr and belongs((run.ptr - 1)[0], BASE64):
        return False
    if end < text.ptr + text.len and belongs(end[0], BASE64):
        return False
    for i in range(run.len):
        if not belongs(run.ptr[i], BASE64):
            return False
    return True


cdef bint next_run(Span text, Alphabet alphabet, Py_ssize_t* at, Span* run) noexcept nogil:
    """Finds the next run of an alphabet that is worth decoding by itself, from `at` on."""
    while at[0] < text.len:
        run[0] = run_from(text, alphabet, at)
        if alphabet == BASE64_URL and is_of_both(text, run[0]):
            continue
        if is_worth(run[0], alphabet) and not is_part(text, run[0], alphabet):
            return True
    return False


cdef bint next_line(Span lines, Alphabet alphabet, Py_ssize_t* at, Span* line) noexcept nogil:
    """Finds the next line of an encoding that is worth decoding by itself, from `at` on."""
    while at[0] < lines.len:
        line[0] = run_from(lines, alphabet, at)
        if is_worth(line[0], alphabet):
            return True
    return False


cdef bint next_wrapped(Span text, Alphabet alphabet, Py_ssize_t* at, Span* whole, Buffer* joined) noexcept nogil:
    """Joins the next encoding that is broken over lines: all as long as the first, the last no longer.

    `whole` is where they stand. A shorter line may also begin the next one, so no byte is joined more than twice. The
    caller has reserved as many bytes as the text has.
    """
    cdef Span first, line
    cdef const uint8_t* end = text.ptr
    cdef bint worth
    cdef int lines
    while at[0] < text.len:
        first = run_from(text, alphabet, at)
        if first.len < shortest(alphabet):
            continue
        joined.len = 0
        append_span(joined, first)
        worth = is_worth(first, alphabet)
        line = first
        lines = 1
        while line.len == first.len:
            line = after_break(text, alphabet, line.ptr + line.len - text.ptr)
            if line.len == 0 or line.len > first.len:
                break
            append_span(joined, line)
            end = line.ptr + line.len
            worth = worth or is_worth(line, alphabet)
            lines += 1
            if line.len == first.len:
                at[0] = line.ptr + line.len - text.ptr
        if worth and lines > 1:
            whole[0] = span(first.ptr, end - first.ptr)
            return True
    return False


cdef bint decode_run(Span run, Alphabet alphabet, Buffer* out) noexcept nogil:
    if alphabet == HEX:
        return decode_hex(run, out)
    return decode_base32(run, out) if alphabet == BASE32 else decode_base64(run, out)


cdef bint decode_base32(Span run, Buffer* out) noexcept nogil:
    """Decodes whole bytes; left over bits are dropped. False: no memory."""
    cdef Py_ssize_t i
    cdef uint32_t bits = 0
    cdef int left = 0
    cdef uint8_t c
    out.len = 0
    if not reserve(out, run.len):
        return False
    for i in range(run.len):
        c = run.ptr[i]
        bits = bits << 5 | <uint32_t>(c - c'A' if c >= c'A' else c - c'2' + 26)
        left += 5
        if left >= 8:
            left -= 8
            out.ptr[out.len] = <uint8_t>(bits >> left)
            out.len += 1
    return True


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
