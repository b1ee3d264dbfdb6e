"""Text to symbols. Each stage of the normalisation that works on single characters has its place here.

Case, NFKC, UTS #39 lookalikes, leetspeak and what is to be ignored (zero-width characters, soft hyphens, variation
selectors, tag characters, combining marks, bidi controls) are one table lookup: nsr_fold_tables.h. Its ambiguities
are kept, a symbol is the set of letters that it can be read as.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.string cimport memcpy

from lexmesh._buffer cimport append, reserve
from lexmesh._span cimport span

cdef extern from "text.h" nogil:
    size_t lm_utf8_step(const uint8_t* ptr, size_t length) noexcept

cdef extern from "nsr_fold_tables.h" nogil:
    ctypedef struct lm_fold_entry:
        uint8_t count
        uint8_t flags
        uint16_t first
    const uint16_t lm_fold_index[]
    const uint16_t lm_fold_pages[]
    const lm_fold_entry lm_fold_entries[]
    const uint64_t lm_fold_masks[]
    int LM_FOLD_PAGE
    int LM_FOLD_FIRST_ENTRY

cdef enum:              # lm_fold_pages' numbers below LM_FOLD_FIRST_ENTRY
    IS_OTHER = 0
    IS_SEPARATOR = 1
    IS_IGNORED = 2
    IS_TAG = 3
    IS_OVERRIDE = 4

cdef enum:
    MAX_EXPANSION = 8   # symbols of one character
    MAX_GAP = 7         # separators between letters that are set apart (f-o-r-c-e, f - o - r, e • _ • c)
    SYMBOL_BYTES = 9    # of a mask and its flags
    INVALID = 0xFFFD


cdef bint room(Symbols* symbols, Py_ssize_t extra) noexcept nogil:
    cdef Py_ssize_t capacity
    cdef uint64_t* masks
    cdef uint8_t* flags
    if symbols.capacity - symbols.len >= extra:
        return True
    capacity = max(symbols.capacity * 2, symbols.len + extra, 512)
    masks = <uint64_t*>PyMem_RawRealloc(symbols.masks, <size_t>capacity * sizeof(uint64_t))
    if masks == NULL:
        return False
    symbols.masks = masks
    flags = <uint8_t*>PyMem_RawRealloc(symbols.flags, <size_t>capacity)
    if flags == NULL:
        return False
    symbols.flags = flags
    symbols.capacity = capacity
    return True


cdef void free_symbols(Symbols* symbols) noexcept nogil:
    PyMem_RawFree(symbols.masks)
    PyMem_RawFree(symbols.flags)


cdef Py_ssize_t kept_symbols(Symbols* symbols, Py_ssize_t most) noexcept nogil:
    """Bytes that symbols hold, once they have been freed if that were over `most`."""
    if symbols.capacity * SYMBOL_BYTES > most:
        free_symbols(symbols)
        symbols.masks = NULL
        symbols.flags = NULL
        symbols.len = symbols.capacity = 0
    return symbols.capacity * SYMBOL_BYTES


cdef inline uint32_t character(const uint8_t* at, Py_ssize_t left, Py_ssize_t* step) noexcept nogil:
    """The code point at `at`; a byte that begins no UTF-8 sequence stands alone as U+FFFD."""
    cdef size_t length
    if at[0] < 0x80:
        step[0] = 1
        return at[0]
    length = lm_utf8_step(at, <size_t>left)
    step[0] = <Py_ssize_t>length
    if length == 2:
        return (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu)
    if length == 3:
        return (at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu)
    if length == 4:
        return (at[0] & 7u) << 18 | (at[1] & 0x3Fu) << 12 | (at[2] & 0x3Fu) << 6 | (at[3] & 0x3Fu)
    step[0] = 1
    return INVALID


cdef inline int lookup(uint32_t point) noexcept nogil:
    return lm_fold_pages[lm_fold_index[point // LM_FOLD_PAGE] * LM_FOLD_PAGE + point % LM_FOLD_PAGE]


cdef inline void put(Symbols* out, uint64_t mask, int flags) noexcept nogil:
    out.masks[out.len] = mask
    out.flags[out.len] = <uint8_t>flags
    out.len += 1


cdef inline void put_separators(Symbols* out, uint64_t count, int edge) noexcept nogil:
    """Separators in a row are one symbol, over the edge of an element too."""
    if out.len and out.flags[out.len - 1] & SEPARATOR:
        out.masks[out.len - 1] += count
        out.flags[out.len - 1] |= <uint8_t>edge
    else:
        put(out, count, SEPARATOR | edge)


cdef inline int put_character(Symbols* out, int entry, int edge) noexcept nogil:
    """Adds what one character reads as; returns the edge flag if it is still to be placed."""
    cdef lm_fold_entry letters
    cdef int i
    if entry >= LM_FOLD_FIRST_ENTRY:
        letters = lm_fold_entries[entry - LM_FOLD_FIRST_ENTRY]
        for i in range(letters.count):
            put(out, lm_fold_masks[letters.first + i], letters.flags | edge)
            edge = 0
        return 0
    if entry == IS_OTHER:
        put(out, 0, OTHER | edge)
        return 0
    if entry == IS_SEPARATOR:
        put_separators(out, 1, edge)
        return 0
    return edge


cdef bint fold(Span text, Symbols* out, int* seen) noexcept nogil:
    """Appends the symbols of `text`; if there were some before, the first new one is marked EDGE. False: no memory."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t step
    cdef int entry
    cdef int edge = EDGE if out.len else 0
    while at < text.len:
        if out.capacity - out.len < MAX_EXPANSION and not room(out, MAX_EXPANSION):
            return False
        entry = lookup(character(text.ptr + at, text.len - at, &step))
        at += step
        edge = put_character(out, entry, edge)
        if entry >= LM_FOLD_FIRST_ENTRY:
            if lm_fold_entries[entry - LM_FOLD_FIRST_ENTRY].flags & SYMBOLIC:
                seen[0] |= SEEN_SYMBOLIC
        elif entry == IS_TAG:
            seen[0] |= SEEN_TAG
        elif entry == IS_OVERRIDE:
            seen[0] |= SEEN_OVERRIDE
    return True


cdef bint symbolic_as_separators(const Symbols* text, Symbols* out) noexcept nogil:
    """The other reading of punctuation that can pass for letters: as punctuation. False: no memory."""
    cdef Py_ssize_t i
    out.len = 0
    if not room(out, text.len):
        return False
    for i in range(text.len):
        if text.flags[i] & SYMBOLIC:
            put_separators(out, 1, text.flags[i] & EDGE)
        elif text.flags[i] & SEPARATOR:
            put_separators(out, text.masks[i], text.flags[i] & EDGE)
        else:
            put(out, text.masks[i], text.flags[i])
    return True


cdef inline bint stands_alone(const Symbols* text, Py_ssize_t i) noexcept nogil:
    return ((i == 0 or text.flags[i - 1] & SEPARATOR != 0)
            and (i + 1 == text.len or text.flags[i + 1] & SEPARATOR != 0))


cdef bint spaced_letters(const Symbols* text, Symbols* out, bint* whole) noexcept nogil:
    """Closes up letters that are set apart by a few separators each; runs of them end with an OTHER symbol.

    `whole` says whether one run holds every letter of the text. False: no memory.
    """
    cdef Py_ssize_t i
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t letters = 0
    out.len = 0
    whole[0] = False
    if not room(out, text.len + 1):
        return False
    for i in range(text.len):
        if text.flags[i] & SEPARATOR:
            if text.masks[i] > MAX_GAP:
                first = end_run(out, first)
            continue
        letters += 1
        if stands_alone(text, i):
            put(out, text.masks[i], text.flags[i] & ~EDGE)
        else:
            first = end_run(out, first)
    whole[0] = letters >= MIN_SPACED and out.len == letters
    end_run(out, first)
    return True


cdef inline Py_ssize_t end_run(Symbols* out, Py_ssize_t first) noexcept nogil:
    """Ends the run that began at `first`, forgetting it if it is too short; returns where the next one begins."""
    if out.len - first < MIN_SPACED:
        out.len = first
    else:
        put(out, 0, OTHER)
    return out.len


cdef Py_ssize_t tag_text(Span text, uint8_t* out) noexcept nogil:
    """Writes what the tag characters U+E0020..U+E007E of `text` spell; never longer than the text."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t step
    cdef Py_ssize_t length = 0
    cdef uint32_t point
    while at < text.len:
        point = character(text.ptr + at, text.len - at, &step)
        at += step
        if lookup(point) == IS_TAG:
            out[length] = <uint8_t>(point - 0xE0000)
            length += 1
    return length


cdef inline bint ends_override(uint32_t point) noexcept nogil:
    return point == 0x0A or 0x202A <= point <= 0x202E or 0x2066 <= point <= 0x2069


cdef void write_reversed(const uint8_t* ptr, Py_ssize_t length, uint8_t* out) noexcept nogil:
    """Writes the characters of [ptr, ptr + length) last to first."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t step
    while at < length:
        character(ptr + at, length - at, &step)
        memcpy(out + length - at - step, ptr + at, <size_t>step)
        at += step


cdef Py_ssize_t override_text(Span text, uint8_t* out) noexcept nogil:
    """Writes `text` in the order in which right-to-left overrides show it; never longer than the text."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t begin = -1
    cdef Py_ssize_t length = 0
    cdef Py_ssize_t step
    cdef uint32_t point
    while at < text.len:
        point = character(text.ptr + at, text.len - at, &step)
        if ends_override(point):
            if begin >= 0:
                write_reversed(text.ptr + begin, at - begin, out + length)
                length += at - begin
            begin = at + step if point == 0x202E else -1
        if begin < 0:
            memcpy(out + length, text.ptr + at, <size_t>step)
            length += step
        at += step
    if begin >= 0:
        write_reversed(text.ptr + begin, text.len - begin, out + length)
        length += text.len - begin
    return length


cdef inline uint8_t plain_letter(uint64_t mask, int flags) noexcept nogil:
    """The ASCII letter or digit that a symbol is most plainly."""
    cdef int letter = 26 if mask >> 26 else 0
    while not mask >> letter & 1:
        letter += 1
    if letter >= 26:
        return <uint8_t>(c'0' + letter - 26)
    return <uint8_t>((c'A' if flags & UPPER else c'a') + letter)


cdef inline Py_ssize_t put_plain(uint32_t point, Buffer* out) noexcept nogil:
    """Writes the ASCII that a character stands for; returns -1 for one that stands for itself."""
    cdef lm_fold_entry letters
    cdef int entry, i
    if 0xFF01 <= point <= 0xFF5E:       # fullwidth forms of ASCII
        out.ptr[out.len] = <uint8_t>(point - 0xFEE0)
        out.len += 1
        return 1
    entry = lookup(point)
    if entry == IS_IGNORED or entry == IS_TAG or entry == IS_OVERRIDE:
        return 0
    if entry < LM_FOLD_FIRST_ENTRY:
        return -1
    letters = lm_fold_entries[entry - LM_FOLD_FIRST_ENTRY]
    for i in range(letters.count):
        out.ptr[out.len] = plain_letter(lm_fold_masks[letters.first + i], letters.flags)
        out.len += 1
    return letters.count


cdef bint plain_text(Span text, Buffer* out, bint* changed) noexcept nogil:
    """Writes `text` with lookalikes as the ASCII that they pass for and without what is to be ignored.

    A word is found without it; an encoding needs its very letters. False: no memory.
    """
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t step
    cdef uint32_t point
    changed[0] = False
    out.len = 0
    if not reserve(out, text.len * MAX_EXPANSION // 2 + MAX_EXPANSION):     # such a character has two bytes or more
        return False
    while at < text.len:
        point = character(text.ptr + at, text.len - at, &step)
        if point >= 0x80 and put_plain(point, out) >= 0:
            changed[0] = True
        else:
            append(out, text.ptr + at, step)
        at += step
    return True


cdef Py_ssize_t skip_blank(Span text) noexcept nogil:
    """The bytes at the beginning that show nothing: spaces of any kind, control characters, byte order marks."""
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t step
    cdef int entry
    while at < text.len:
        if text.ptr[at] < 0x80:
            if text.ptr[at] > 0x20:
                return at
            at += 1
            continue
        entry = lookup(character(text.ptr + at, text.len - at, &step))
        if entry >= LM_FOLD_FIRST_ENTRY or entry == IS_OTHER:
            return at
        at += step
    return at
