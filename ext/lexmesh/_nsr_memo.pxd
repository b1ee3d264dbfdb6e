"""What was searched already: texts that one message decodes to more than once are searched once."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from lexmesh._span cimport Span

cdef enum:
    MEMO_SLOTS = 4096       # a power of two
    MEMO_TERMS = 7          # numbers that a search is told apart by, beside its text


cdef struct Key:
    # SipHash of a search: its text, and what of it is looked for.
    uint64_t low, high


cdef struct Searched:
    Key key
    uint32_t length         # of the text, in bytes
    uint32_t message        # the lower half of its number
    int level               # at which the text was searched
    int reached             # the deepest level that one of its decodings had


cdef struct Memo:
    uint64_t secret[2]
    Searched* slots         # NULL until the first text is kept


cdef Key key_of(const Memo* memo, Span text, const uint64_t* terms) noexcept nogil
cdef const Searched* recalled(const Memo* memo, const Key* key) noexcept nogil
cdef bint keep(Memo* memo, const Searched* searched) noexcept nogil
cdef void forget(Memo* memo) noexcept nogil
