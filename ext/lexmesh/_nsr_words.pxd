"""The words of one text, in each of its readings."""

from libc.stdint cimport uint64_t

from lexmesh._nsr_automaton cimport Automaton
from lexmesh._nsr_fold cimport Symbols
from lexmesh._span cimport Span


cdef struct Want:
    # Masks of rule numbers: what a text is searched for.
    uint64_t words          # as whole words
    uint64_t keys           # as the whole text, for which it must be a key
    uint64_t values         # as the whole text, for which it must be a value
    uint64_t inner_keys     # as a key of JSON that the text holds


cdef class WordScanner:
    cdef Automaton automaton
    cdef Symbols symbols, plain, spaced
    cdef uint64_t wanted                    # rules that could still change the verdict
    cdef uint64_t got_keys, got_values      # rules of which the last text was a key or value

    cdef void found(self, uint64_t rules) noexcept nogil
    cdef bint match(self, Span text, const Want* want, int* seen) noexcept nogil
    cdef bint match_readings(self, const Want* want, int seen, bint edges) noexcept nogil
    cdef bint match_symbols(self, const Symbols* symbols, const Want* want, bint edges) noexcept nogil
    cdef bint match_spaced(self, const Symbols* symbols, const Want* want) noexcept nogil
