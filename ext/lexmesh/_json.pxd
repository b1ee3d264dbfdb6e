"""Strict JSON: one walk that validates a text and refuses what two parsers could read differently."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from lexmesh._span cimport NO_MEMORY, OK, Span, Status, lm_first8

cdef enum:
    MAX_NESTING = 64
    MAX_EXPECTED = 8


cdef struct KeyMark:
    uint64_t first       # bytes of the decoded key, up to eight
    const uint8_t* ptr   # between the quotes, still escaped
    uint32_t len
    uint32_t decoded     # length once decoded; differs from len when there are escapes
    uint64_t hash        # of the decoded key; set when it is needed, but for a key with escapes at once


cdef struct ExpectedKey:
    uint8_t text[16]     # `"key":` and the space around the colon
    uint8_t len          # of that
    uint8_t key_len
    const uint8_t* at    # where it stands in the object being read


@cython.final
cdef class Walker:
    """Scratch space of the strict walk; one per decoder, reused for every message."""

    cdef KeyMark* keys
    cdef Py_ssize_t key_count, key_capacity
    cdef uint32_t* slots
    cdef Py_ssize_t slot_capacity
    cdef ExpectedKey expected[MAX_EXPECTED]     # the first keys of the last outermost object
    cdef int known       # how many of them; all are of one object, whose keys were distinct
    cdef int learned     # of the object being read

    cdef Status value(self, const uint8_t** cursor, const uint8_t* end, int depth) noexcept nogil
    cdef Status document(self, Span text, Py_ssize_t* error_at) noexcept nogil
    cdef Status remember_escaped(self, Span raw) noexcept nogil
    cdef Status distinct(self, Py_ssize_t first) noexcept nogil
    cdef bint grow(self) noexcept nogil
    cdef Status _distinct_many(self, Py_ssize_t first) noexcept nogil
    cdef Status _object(self, const uint8_t** cursor, const uint8_t* end, int depth) noexcept nogil
    cdef Status _key(self, const uint8_t** cursor, const uint8_t* end, int index, bint learns) noexcept nogil
    cdef Status _recall(self, int count) noexcept nogil
    cdef Status _all_distinct(self, Py_ssize_t first, bint learns) noexcept nogil
    cdef Status _array(self, const uint8_t** cursor, const uint8_t* end, int depth) noexcept nogil


cdef inline Status remember(Walker walker, Span key) noexcept nogil:
    """Notes a key of the object being read, as it stands between its quotes."""
    cdef KeyMark* mark
    if walker.key_count == walker.key_capacity and not walker.grow():
        return NO_MEMORY
    mark = &walker.keys[walker.key_count]
    mark.ptr = key.ptr
    mark.len = mark.decoded = <uint32_t>key.len
    mark.first = lm_first8(key.ptr, <size_t>key.len)
    walker.key_count += 1
    return OK
