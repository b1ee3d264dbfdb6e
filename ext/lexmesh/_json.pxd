"""Strict JSON: one walk that validates a text and refuses what two parsers could read differently."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from lexmesh._span cimport Span, Status

cdef enum:
    MAX_NESTING = 64


cdef struct KeyMark:
    uint64_t first       # bytes of the decoded key, up to eight
    const uint8_t* ptr   # between the quotes, still escaped
    uint32_t len
    uint32_t decoded     # length once decoded; differs from len when there are escapes
    uint64_t hash        # of the decoded key; set when it is needed, but for a key with escapes at once


@cython.final
cdef class Walker:
    """Scratch space of the strict walk; one per decoder, reused for every message."""

    cdef KeyMark* keys
    cdef Py_ssize_t key_count, key_capacity
    cdef uint32_t* slots
    cdef Py_ssize_t slot_capacity

    cdef Status value(self, const uint8_t** cursor, const uint8_t* end, int depth) noexcept nogil
    cdef Status document(self, Span text, Py_ssize_t* error_at) noexcept nogil
    cdef Status remember(self, Span raw, bint escaped) noexcept nogil
    cdef Status distinct(self, Py_ssize_t first) noexcept nogil
    cdef bint _grow(self) noexcept nogil
    cdef Status _remember_escaped(self, KeyMark* mark) noexcept nogil
    cdef Status _distinct_many(self, Py_ssize_t first) noexcept nogil
    cdef Status _object(self, const uint8_t** cursor, const uint8_t* end, int depth) noexcept nogil
    cdef Status _array(self, const uint8_t** cursor, const uint8_t* end, int depth) noexcept nogil
