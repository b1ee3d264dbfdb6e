"""What an Envelope's parts may be, and the scratch memory it may point into."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from lexmesh._json cimport KeyMark, Walker, remember
from lexmesh._json_text cimport any_string, unescape
from lexmesh._span cimport BAD_SUBJECT, NO_MEMORY, NO_TYPE, OK, Span, Status, lm_same_short, span


cdef extern from "text.h" nogil:
    bint lm_is_plain_subject(const uint8_t* ptr, size_t length) noexcept
    bint lm_eight_digits(const uint8_t* ptr, uint64_t* value) noexcept


cdef bint is_subject(Span text) noexcept nogil:
    """Whether `text` is a concrete subject: tokens between dots, without spaces or control characters, none
    of them a wildcard."""
    cdef Py_ssize_t i
    cdef Py_ssize_t token = 0
    cdef uint8_t c
    if text.len == 0 or text.len > MAX_NAME:
        return False
    if lm_is_plain_subject(text.ptr, <size_t>text.len):
        return True
    for i in range(text.len + 1):
        c = text.ptr[i] if i < text.len else c'.'
        if c == c'.':
            if i == token:
                return False
            token = i + 1
        elif c <= 0x20 or c == 0x7F or c == c'*' or c == c'>' or (c == 0xC2 and text.ptr[i + 1] < 0xA0):     # C1 controls are C2 80 to C2 9F
            return False
    return True


cdef bint decimal(const uint8_t* ptr, Py_ssize_t length, uint64_t* value) noexcept nogil:
    """Reads a canonical decimal (no sign, no leading zero) that fits 64 bits."""
    cdef uint64_t result = 0
    cdef uint64_t digit, eight
    cdef const uint8_t* at = ptr
    cdef const uint8_t* end = ptr + length
    if length < 1 or length > 20 or (length > 1 and ptr[0] == c'0'):
        return False
    while end - at >= 8 and lm_eight_digits(at, &eight):
        result = result * 100000000 + eight
        at += 8
    while at < end:
        digit = <uint64_t>at[0] - c'0'
        if digit > 9 or (length == 20 and result > (<uint64_t>-1 - digit) // 10):
            return False
        result = result * 10 + digit
        at += 1
    value[0] = result
    return True


cdef bint parse_id(Span text, Span* source, uint64_t* epoch, uint64_t* seq) noexcept nogil:
    """Splits `source:epoch:seq` from the right, since a source may hold colons."""
    cdef Py_ssize_t second = text.len - 1
    cdef Py_ssize_t first
    while second >= 0 and text.ptr[second] != c':':
        second -= 1
    first = second - 1
    while first >= 0 and text.ptr[first] != c':':
        first -= 1
    if first < 1:
        return False
    source[0] = span(text.ptr, first)
    return (decimal(text.ptr + first + 1, second - first - 1, epoch)
            and decimal(text.ptr + second + 1, text.len - second - 1, seq))


cdef Status check_names(const Envelope* env) noexcept nogil:
    """Whether subject and names are what they may be."""
    if env.event_type.len == 0:
        return NO_TYPE
    if not is_subject(env.event_type):
        return BAD_SUBJECT
    return check_lengths(env)


cdef class Scratch:
    def __cinit__(self):
        self.walker = Walker()
        self.pair_capacity = 16
        self.pairs = <Pair*>PyMem_RawMalloc(self.pair_capacity * sizeof(Pair))
        if self.pairs == NULL:
            raise MemoryError
        for i in range(MAX_MEMBERS):
            self.members[i].len = 255

    def __dealloc__(self):
        PyMem_RawFree(self.pairs)
        PyMem_RawFree(self.scratch)

    cdef Py_ssize_t capacity(self) noexcept nogil:
        """Bytes of memory that the largest message so far has made it keep."""
        return (self.scratch_capacity + self.pair_capacity * <Py_ssize_t>sizeof(Pair)
                + self.walker.key_capacity * <Py_ssize_t>sizeof(KeyMark)
                + self.walker.slot_capacity * <Py_ssize_t>sizeof(uint32_t))

    cdef Status add_pair(self, Envelope* env, Span key, Span value) noexcept nogil:
        cdef Pair* grown
        cdef Status status = remember(self.walker, key)
        if status != OK:
            return status
        if env.metadata_count == self.pair_capacity:
            grown = <Pair*>PyMem_RawRealloc(self.pairs, <size_t>self.pair_capacity * 2 * sizeof(Pair))
            if grown == NULL:
                return NO_MEMORY
            self.pairs = grown
            self.pair_capacity *= 2
        self.pairs[env.metadata_count].key = key
        self.pairs[env.metadata_count].value = value
        env.metadata_count += 1
        return OK

    cdef Status unescaped_string(self, const uint8_t** cursor, const uint8_t* end, Span* out) noexcept nogil:
        """Reads a string and decodes its escapes into the scratch, so that everything after sees plain UTF-8."""
        cdef bint escaped
        cdef Span raw
        cdef Status status = any_string(cursor, end, &raw, &escaped)
        if status == OK and escaped:
            status = self._room_to_unescape(end - raw.ptr)
            if status == OK:
                raw.len = unescape(raw, self.scratch + self.scratch_len)
                raw.ptr = self.scratch + self.scratch_len
                self.scratch_len += raw.len
        out[0] = raw
        return status

    cdef bint split_id(self, Span text, Span* source, uint64_t* epoch, uint64_t* seq) noexcept nogil:
        """parse_id, which need not read again what this id shares with the last one: source and epoch."""
        cdef Py_ssize_t length = self.prefix_len
        if 0 < length < text.len and lm_same_short(text.ptr, self.prefix, <size_t>length) and decimal(
                text.ptr + length, text.len - length, seq):
            source[0] = span(text.ptr, self.prefix_source_len)
            epoch[0] = self.prefix_epoch
            return True
        if not parse_id(text, source, epoch, seq):
            return False
        length = text.len
        while text.ptr[length - 1] != c':':
            length -= 1
        if length <= MAX_PREFIX:
            memcpy(self.prefix, text.ptr, <size_t>length)
            self.prefix_len = length
            self.prefix_source_len = source.len
            self.prefix_epoch = epoch[0]
        return True

    cdef Status _room_to_unescape(self, Py_ssize_t length) noexcept nogil:
        """Grows the scratch once a message, by all that is left of it: spans into it must not move later."""
        cdef uint8_t* grown
        if self.scratch_len > 0 or self.scratch_capacity >= length:
            return OK
        grown = <uint8_t*>PyMem_RawMalloc(<size_t>length)
        if grown == NULL:
            return NO_MEMORY
        PyMem_RawFree(self.scratch)
        self.scratch = grown
        self.scratch_capacity = length
        return OK
