"""Which event types a rule is for."""

from libc.stdint cimport uint8_t

from lexmesh._span cimport Span

cdef bint subject_matches(Span pattern, Span subject) noexcept nogil


cdef inline uint8_t lower(uint8_t c) noexcept nogil:
    return c | 0x20 if c'A' <= c <= c'Z' else c
