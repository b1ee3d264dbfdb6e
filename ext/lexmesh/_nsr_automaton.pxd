"""The markers as one automaton over symbols (Aho and Corasick 1975), with word boundaries checked at each hit."""

from libc.stdint cimport int32_t, uint8_t, uint64_t

from lexmesh._nsr_fold cimport Symbols

cdef struct Pattern:
    uint8_t* letters        # letter numbers, SPACE between words
    Py_ssize_t len
    int words
    uint64_t in_text        # rules that look for it as a whole word
    uint64_t as_key         # rules that look for it as a whole key
    uint64_t as_value       # rules that look for it as a whole value
    int32_t same_classes    # next pattern of the same class sequence, -1 after the last
    int32_t exceptions      # first of its exceptions, -1 for none


cdef struct Exception_:
    uint8_t* letters
    Py_ssize_t len
    Py_ssize_t offset       # where the pattern stands in it
    uint64_t rules
    int32_t following


cdef struct Hit:
    const Pattern* pattern
    Py_ssize_t start
    Py_ssize_t end          # one past its last symbol


cdef struct Search:
    Py_ssize_t at
    int32_t state
    int32_t pending         # node whose patterns are still to be tried, -1 for none
    int32_t pattern


cdef class Automaton:
    cdef Pattern* patterns
    cdef Py_ssize_t pattern_count
    cdef Exception_* exceptions
    cdef Py_ssize_t exception_count
    cdef int32_t* step
    cdef int32_t* output    # first pattern that ends at a node, -1 for none
    cdef int32_t* shorter   # nearest node on the failure path with an output, -1 for none
    cdef int width
    cdef readonly Py_ssize_t nodes

    cdef _add_pattern(self, bytes letters, uint64_t in_text, uint64_t as_key, uint64_t as_value)
    cdef _add_exception(self, bytes letters, Py_ssize_t number, Py_ssize_t offset, uint64_t rules)
    cdef _build(self)
    cdef void _insert(self, int32_t number) noexcept nogil
    cdef void _link(self, int32_t* fails, int32_t* queue) noexcept nogil
    cdef int32_t advance(self, const Symbols* text, Py_ssize_t at, int32_t state) noexcept nogil
    cdef bint next_hit(self, const Symbols* text, Search* search, Hit* hit) noexcept nogil
    cdef uint64_t excepted(self, const Symbols* text, const Hit* hit) noexcept nogil


cdef Search begin() noexcept nogil
cdef bint is_word(const Symbols* text, const Hit* hit) noexcept nogil
cdef bint crosses_edge(const Symbols* text, const Hit* hit) noexcept nogil
cdef bint is_whole(const Symbols* text, const Hit* hit) noexcept nogil
