"""The prefilter: proof that a text needs no slow path."""

cimport cython
from libc.stdint cimport uint8_t, uint64_t

from lexmesh._span cimport Span

cdef extern from "nsr_joins.h" nogil:
    ctypedef struct lm_splits:
        uint64_t across[256][2]
        uint64_t before[128][2]
        uint64_t after[128][2]
        uint8_t odd[256]
    ctypedef struct lm_stretch:
        pass
    lm_stretch lm_nowhere() noexcept
    void lm_set_pair(uint64_t (*pairs)[2], int a, int b) noexcept
    void lm_start_splits(lm_splits*) noexcept
    bint lm_is_plain_pair(const lm_splits*, const uint8_t*, size_t, const uint8_t*, size_t) noexcept
    bint lm_may_join(const lm_splits*, const uint8_t*, size_t, const uint8_t*, size_t) noexcept
    bint lm_may_join_in_json(const lm_splits*, const uint8_t*, size_t, lm_stretch) noexcept

cdef extern from "nsr_prefilter.h" nogil:
    enum:
        LM_WORD_BUCKETS
        LM_EQUALS_BUCKET
        LM_QUOTE_BUCKET
        LM_TRIP_WORD
        LM_TRIP_HIGH
        LM_TRIP_ESCAPE
        LM_TRIP_SPACED
        LM_TRIP_BASE64
        LM_TRIP_HEX
        LM_TRIP_CODES
        LM_TRIP_ALL
        LM_MAX_SPACED
    ctypedef struct lm_trigrams:
        uint8_t low[3][16]
        uint8_t high[3][16]
    ctypedef struct lm_prefilter_tables:
        lm_trigrams trigrams
        int spaced
    ctypedef struct lm_prefilter:
        int (*run)(const lm_prefilter_tables*, const uint8_t*, size_t, size_t, lm_stretch*) noexcept nogil
        int (*run_short)(const lm_prefilter_tables*, const uint8_t*, size_t, size_t, size_t) noexcept nogil
    lm_prefilter lm_choose_prefilter(int most) noexcept
    enum:
        LM_SHORT


cdef enum:
    PADDING = 64            # zeros after a text that short_trips takes


@cython.final
cdef class Prefilter:
    cdef lm_prefilter_tables tables
    cdef lm_splits splits
    cdef lm_prefilter chosen
    cdef bint never                 # there are no patterns: nothing can be found

    cdef int trips(self, Span text, bint is_json, lm_stretch* unquoted) noexcept nogil
    cdef inline int short_trips(self, Span text, Py_ssize_t json_from, Py_ssize_t codes_to) noexcept nogil:
        """As trips, for a text of less than 64 * LM_SHORT bytes with PADDING zeros after it, raw JSON from `json_from` on.

        `codes_to`: numbers are looked for before that place.
        """
        if self.never:
            return 0
        return self.chosen.run_short(&self.tables, text.ptr, <size_t>text.len, <size_t>json_from, <size_t>codes_to)

    cdef bint may_join(self, Span left, Span right) noexcept nogil
    cdef bint may_join_in_json(self, Span text, lm_stretch unquoted) noexcept nogil
    cdef _add_trigram(self, list sets, int bucket)
    cdef _add_splits(self, list patterns)
    cdef _add_across(self, last, first)
    cdef _add_before(self, left, last)
    cdef _add_after(self, first, right)
