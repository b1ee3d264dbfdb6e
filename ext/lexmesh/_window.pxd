"""Duplicates and gaps by (source, epoch, seq), without a set of ids."""

from libc.stdint cimport uint64_t

from lexmesh._span cimport Span

cdef enum:
    WINDOW_WORDS = 16       # 1,024 sequence numbers back from the highest seen
    MAX_SOURCES = 8192      # windows kept; the one first seen goes first


cdef class Window:
    """What has been seen of one source's epoch."""

    cdef bytes source
    cdef Span name              # of source
    cdef uint64_t epoch
    cdef uint64_t first, highest
    cdef uint64_t seen_count
    cdef uint64_t bits[WINDOW_WORDS]

    cdef bint is_of(self, Span source, uint64_t epoch) noexcept nogil
    cdef bint add(self, uint64_t seq) noexcept nogil
    cdef void _advance(self, uint64_t seq) noexcept nogil


cdef class Windows:
    cdef dict by_source
    cdef uint64_t retired_missing

    cdef Window of(self, Span source, uint64_t epoch, object teller)
    cpdef uint64_t missing(self)
