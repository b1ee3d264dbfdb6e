"""A sliding bitmap a source (as in the anti-replay window of RFC 4303, section 3.4.3)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from lexmesh._span cimport Span, same, span

cdef enum:
    WINDOW = WINDOW_WORDS * 64


cdef class Window:
    cdef bint add(self, uint64_t seq) noexcept nogil:
        """Notes a sequence number; False if it was seen, or is too far back to tell."""
        cdef uint64_t bit = <uint64_t>1 << (seq & 63)
        cdef uint64_t word = (seq >> 6) % WINDOW_WORDS
        if self.seen_count == 0:
            self.first = self.highest = seq
        elif seq > self.highest:
            self._advance(seq)
        elif self.highest - seq >= WINDOW or self.bits[word] & bit:
            return False
        elif seq < self.first:
            self.first = seq
        self.bits[word] |= bit
        self.seen_count += 1
        return True

    cdef void _advance(self, uint64_t seq) noexcept nogil:
        """Moves the window up to `seq`, clearing what the new numbers will use."""
        cdef uint64_t at = self.highest
        if seq - self.highest >= WINDOW:
            memset(self.bits, 0, sizeof(self.bits))
        else:
            while at != seq:    # not `<=`: seq may be the largest there is
                at += 1
                self.bits[(at >> 6) % WINDOW_WORDS] &= ~(<uint64_t>1 << (at & 63))
        self.highest = seq


cdef inline uint64_t missing_in(Window window):
    return window.highest - window.first + 1 - window.seen_count if window.seen_count else 0


cdef class Windows:
    """The windows of all sources, bounded."""

    def __cinit__(self):
        self.by_source = {}

    cdef Window of(self, Span source, uint64_t epoch, object teller):
        """The window of a source's epoch, made if new; the oldest one is let go when there are too many.

        `teller` keeps apart what different links say of one source, where links are not trusted to name it: else
        anybody could number messages in another's name and have its own taken for duplicates.
        """
        cdef bytes name = PyBytes_FromStringAndSize(<const char*>source.ptr, source.len)
        cdef tuple key = (name, epoch, teller)
        cdef Window window = self.by_source.get(key)
        if window is None:
            if len(self.by_source) >= MAX_SOURCES:
                self.retired_missing += missing_in(self.by_source.pop(next(iter(self.by_source))))
            window = Window()
            window.source = name
            window.name = span(<const uint8_t*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
            window.epoch = epoch
            window.shared = teller is None
            self.by_source[key] = window
        return window

    cpdef uint64_t missing(self):
        """How many sequence numbers between the first and the last seen never came, over all sources."""
        cdef uint64_t total = self.retired_missing
        for window in self.by_source.values():
            total += missing_in(window)
        return total


def replay(sequence):
    """Runs sequence numbers of one source through a window.

    Args:
        sequence: an iterable of int, 0 to 2**64 - 1.

    Returns:
        A list telling for each whether it was new, and how many numbers are missing at the end.
    """
    cdef Window window = Window()
    return [window.add(seq) for seq in sequence], missing_in(window)
