"""Strict JSON (RFC 8259), with the parts on which parsers disagree refused.

Refused beyond the grammar: a key that repeats within its object (compared after decoding), a lone surrogate escape,
a number outside binary64, nesting over MAX_NESTING, bytes after the value.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from lexmesh._json_text cimport after_space, number, plain_string, skip_space, string, unescape
from lexmesh._span cimport BAD_JSON, DUPLICATE_KEY, NO_MEMORY, OK, TOO_DEEP, TRAILING, TRUNCATED
from lexmesh._span cimport Span, Status, lm_first8, lm_hash, span
from lexmesh._status cimport malformed

cdef extern from "text.h" nogil:
    void lm_set_hash_key(uint64_t key) noexcept
    bint lm_begins(const uint8_t* ptr, size_t available, const uint8_t* expected, size_t length) noexcept

cdef enum:
    FEW_KEYS = 8          # up to here comparing all pairs of hashes beats filling a table

lm_set_hash_key(int.from_bytes(os.urandom(8), "little"))


cdef inline Status literal(const uint8_t** cursor, const uint8_t* end, const char* word, Py_ssize_t length) noexcept nogil:
    if end - cursor[0] < length or memcmp(cursor[0], word, <size_t>length) != 0:
        return BAD_JSON
    cursor[0] += length
    return OK


cdef inline uint64_t hash_of(const KeyMark* mark) noexcept nogil:
    """A key's keyed hash; an escape makes a key longer than what it stands for."""
    return lm_hash(mark.ptr, mark.len) if mark.decoded == mark.len else mark.hash


cdef class Walker:
    def __cinit__(self):
        self.key_capacity = 64
        self.keys = <KeyMark*>PyMem_RawMalloc(self.key_capacity * sizeof(KeyMark))
        if self.keys == NULL:
            raise MemoryError
        self.slots = NULL
        self.slot_capacity = 0
        self.key_count = 0

    def __dealloc__(self):
        PyMem_RawFree(self.keys)
        PyMem_RawFree(self.slots)

    cdef Status remember_escaped(self, Span raw) noexcept nogil:
        """remember for a key with escapes, which is compared by what it stands for."""
        cdef KeyMark* mark
        cdef uint8_t* decoded = <uint8_t*>PyMem_RawMalloc(<size_t>raw.len + 1)
        if decoded == NULL or remember(self, raw) != OK:
            PyMem_RawFree(decoded)
            return NO_MEMORY
        mark = &self.keys[self.key_count - 1]
        mark.decoded = <uint32_t>unescape(raw, decoded)
        mark.first = lm_first8(decoded, mark.decoded)
        mark.hash = lm_hash(decoded, mark.decoded)
        PyMem_RawFree(decoded)
        return OK

    cdef bint grow(self) noexcept nogil:
        cdef KeyMark* grown = <KeyMark*>PyMem_RawRealloc(self.keys, self.key_capacity * 2 * sizeof(KeyMark))
        if grown == NULL:
            return False
        self.keys = grown
        self.key_capacity *= 2
        return True

    cdef Status distinct(self, Py_ssize_t first) noexcept nogil:
        """Whether the keys from `first` on all differ; forgets them.

        Equal 64-bit keyed hashes of keys of one decoded length are taken for equal keys: the error, once in 2**64,
        refuses a message and never admits one.
        """
        cdef Py_ssize_t i, j
        cdef Py_ssize_t last = self.key_count
        cdef Status status = OK
        if last - first > FEW_KEYS:
            status = self._distinct_many(first)
        elif last - first > 1:
            for i in range(first + 1, last):
                for j in range(first, i):
                    if (self.keys[i].first == self.keys[j].first and self.keys[i].decoded == self.keys[j].decoded
                            and (self.keys[i].decoded <= 8 or hash_of(&self.keys[i]) == hash_of(&self.keys[j]))):
                        status = DUPLICATE_KEY
        self.key_count = first
        return status

    cdef Status _distinct_many(self, Py_ssize_t first) noexcept nogil:
        cdef Py_ssize_t count = self.key_count - first
        cdef Py_ssize_t size = 16
        cdef Py_ssize_t i
        cdef size_t slot
        cdef KeyMark* other
        while size < 2 * count:
            size *= 2
        if size > self.slot_capacity:
            PyMem_RawFree(self.slots)
            self.slots = <uint32_t*>PyMem_RawMalloc(size * sizeof(uint32_t))
            self.slot_capacity = size if self.slots != NULL else 0
            if self.slots == NULL:
                return NO_MEMORY
        memset(self.slots, 0, size * sizeof(uint32_t))
        for i in range(count):
            self.keys[first + i].hash = hash_of(&self.keys[first + i])
            slot = <size_t>self.keys[first + i].hash & <size_t>(size - 1)
            while self.slots[slot] != 0:
                other = &self.keys[first + self.slots[slot] - 1]
                if other.hash == self.keys[first + i].hash and other.decoded == self.keys[first + i].decoded:
                    return DUPLICATE_KEY
                slot = (slot + 1) & <size_t>(size - 1)
            self.slots[slot] = <uint32_t>(i + 1)
        return OK

    cdef Status value(self, const uint8_t** cursor, const uint8_t* end, int depth) noexcept nogil:
        """Walks one value at the cursor (no space before it); `depth` is how many containers are open."""
        cdef Span raw
        cdef bint escaped
        cdef uint8_t lead
        if cursor[0] >= end:
            return TRUNCATED
        lead = cursor[0][0]
        if lead == c'"':
            return string(cursor, end, &raw, &escaped)
        if lead == c'{':
            return self._object(cursor, end, depth + 1)
        if lead == c'[':
            return self._array(cursor, end, depth + 1)
        if lead == c't':
            return literal(cursor, end, "true", 4)
        if lead == c'f':
            return literal(cursor, end, "false", 5)
        if lead == c'n':
            return literal(cursor, end, "null", 4)
        return number(cursor, end)

    cdef Status _object(self, const uint8_t** cursor, const uint8_t* end, int depth) noexcept nogil:
        cdef Py_ssize_t first = self.key_count
        cdef const uint8_t* at = cursor[0] + 1
        cdef bint expected = depth == 1     # all keys so far are those of the last object, in their places
        cdef int index = 0
        cdef Span text
        cdef Status status
        if depth > MAX_NESTING:
            return TOO_DEEP
        at = after_space(at, end)
        if at < end and at[0] == c'}':
            cursor[0] = at + 1
            return OK
        while True:
            if expected and index < self.known and lm_begins(
                    at, <size_t>(end - at), self.expected[index].text, self.expected[index].len):
                self.expected[index].at = at
                cursor[0] = after_space(at + self.expected[index].len, end)
            else:
                cursor[0] = at
                status = self._recall(index) if expected else OK
                if status == OK:
                    status = self._key(cursor, end, index, depth == 1)
                if status != OK:
                    return status
                expected = False
            index += 1
            if not (cursor[0] < end and cursor[0][0] == c'"' and plain_string(cursor, end, &text)):
                status = self.value(cursor, end, depth)
                if status != OK:
                    return status
            at = after_space(cursor[0], end)
            if at >= end or (at[0] != c',' and at[0] != c'}'):
                cursor[0] = at
                return TRUNCATED if at >= end else BAD_JSON
            if at[0] == c'}':
                cursor[0] = at + 1
                return OK if expected else self._all_distinct(first, depth == 1)
            at = after_space(at + 1, end)

    cdef Status _key(self, const uint8_t** cursor, const uint8_t* end, int index, bint learns) noexcept nogil:
        """Reads `"key": ` and notes the key; `learns`: the next object is expected to have it in this place."""
        cdef const uint8_t* at = cursor[0]
        cdef Span key
        cdef bint escaped
        cdef Status status
        if at >= end:
            return TRUNCATED
        if at[0] != c'"':
            return BAD_JSON
        status = string(cursor, end, &key, &escaped)
        if status == OK:
            status = self.remember_escaped(key) if escaped else remember(self, key)
        if status != OK:
            return status
        cursor[0] = after_space(cursor[0], end)
        if cursor[0] >= end or cursor[0][0] != c':':
            return TRUNCATED if cursor[0] >= end else BAD_JSON
        cursor[0] = after_space(cursor[0] + 1, end)
        if learns and index == self.learned < MAX_EXPECTED and not escaped and cursor[0] - at <= 16:
            memcpy(self.expected[index].text, at, <size_t>(cursor[0] - at))
            self.expected[index].len = <uint8_t>(cursor[0] - at)
            self.expected[index].key_len = <uint8_t>key.len
            self.learned = index + 1
        return OK

    cdef Status _recall(self, int count) noexcept nogil:
        """Notes the keys read so far, which were as expected: another one follows."""
        cdef int i
        self.known = self.learned = count
        for i in range(count):
            if remember(self, span(self.expected[i].at + 1, self.expected[i].key_len)) != OK:
                return NO_MEMORY
        return OK

    cdef Status _all_distinct(self, Py_ssize_t first, bint learns) noexcept nogil:
        """distinct; what was learned of this object's keys is known to be distinct only then."""
        cdef Status status = self.distinct(first)
        if status == OK and learns:
            self.known = self.learned
        return status

    cdef Status _array(self, const uint8_t** cursor, const uint8_t* end, int depth) noexcept nogil:
        cdef Status status
        if depth > MAX_NESTING:
            return TOO_DEEP
        cursor[0] += 1
        skip_space(cursor, end)
        if cursor[0] < end and cursor[0][0] == c']':
            cursor[0] += 1
            return OK
        while True:
            status = self.value(cursor, end, depth)
            if status != OK:
                return status
            skip_space(cursor, end)
            if cursor[0] >= end:
                return TRUNCATED
            if cursor[0][0] == c']':
                cursor[0] += 1
                return OK
            if cursor[0][0] != c',':
                return BAD_JSON
            cursor[0] += 1
            skip_space(cursor, end)

    cdef Status document(self, Span text, Py_ssize_t* error_at) noexcept nogil:
        """Walks a whole text: space, one value, space. On failure `error_at` is the byte where it showed."""
        cdef const uint8_t* cursor = text.ptr
        cdef const uint8_t* end = text.ptr + text.len
        cdef Status status
        self.key_count = 0
        skip_space(&cursor, end)
        status = self.value(&cursor, end, 0)
        if status == OK:
            skip_space(&cursor, end)
            if cursor != end:
                status = TRAILING
        error_at[0] = cursor - text.ptr
        return status


cdef Walker shared_walker = Walker()


def strict_json(bytes text not None):
    """Checks that a text is one strict JSON value.

    Args:
        text: UTF-8.

    Raises:
        MalformedError: with the reason and the byte where it showed.
    """
    cdef Py_ssize_t at = 0
    cdef Status status = shared_walker.document(
        span(<const uint8_t*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)), &at)
    if status != OK:
        raise malformed(status, at)
