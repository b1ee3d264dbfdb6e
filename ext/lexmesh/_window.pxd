"""Duplicates and gaps by (source, epoch, seq), without a set of ids."""

from libc.stdint cimport uint64_t

from lexmesh._span cimport Span, same_name

cdef enum:
    WINDOW_WORDS = 16       # 1,024 sequence numbers back from the highest seen
    MAX_SOURCES = 8192      # windows kept; the one first seen goes first


cdef class Window:
    """What has been seen of one source's epoch."""

    cdef bytes source
    cdef Span name              # of source
    cdef uint64_t epoch
    cdef bint shared            # by all links, not one teller's
    cdef uint64_t first, highest
    cdef uint64_t seen_count
    cdef uint64_t bits[WINDOW_WORDS]

    cdef bint add(self, uint64_t seq) noexcept nogil
    cdef void _advance(self, uint64_t seq) noexcept nogil


cdef inline bint is_window_of(Window window, Span source, uint64_t epoch) noexcept nogil:
    return window.epoch == epoch and same_name(window.name, source)


cdef inline bint add_number(Window window, uint64_t seq) noexcept nogil:
    """Window.add; mostly it is the number after the highest."""
    cdef uint64_t bit = <uint64_t>1 << (seq & 63)
    if seq != window.highest + 1 or window.seen_count == 0 or seq == 0:
        return window.add(seq)
    window.bits[(seq >> 6) % WINDOW_WORDS] |= bit       # it was set by 1,024 numbers before, or not at all
    window.highest = seq
    window.seen_count += 1
    return True


cdef class Windows:
    cdef dict by_source
    cdef uint64_t retired_missing

    cdef Window of(self, Span source, uint64_t epoch, object teller)
    cpdef uint64_t missing(self)
