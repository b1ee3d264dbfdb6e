"""What was searched already: texts that one message decodes to more than once are searched once.

A search is told by its SipHash-2-4 of 128 bits (https://www.aumasson.jp/siphash/siphash.pdf), not by the text itself,
which would cost as much memory as all that was decoded. That hides no marker: a text passes unsearched only if its hash is
that of another one, and under a secret that no sender knows the hash is as good as random. Of 2**40 texts, two are alike
with a chance of 2**-49; and to find such a pair beforehand is what SipHash is made to prevent.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.string cimport memcpy

from lexmesh._span cimport span


cdef struct State:
    uint64_t a, b, c, d


cdef inline uint64_t turned(uint64_t x, int bits) noexcept nogil:
    return x << bits | x >> (64 - bits)


cdef inline void stir(State* s) noexcept nogil:
    s.a += s.b
    s.c += s.d
    s.b = turned(s.b, 13) ^ s.a
    s.d = turned(s.d, 16) ^ s.c
    s.a = turned(s.a, 32)
    s.c += s.b
    s.a += s.d
    s.b = turned(s.b, 17) ^ s.c
    s.d = turned(s.d, 21) ^ s.a
    s.c = turned(s.c, 32)


cdef inline void take(State* s, uint64_t word) noexcept nogil:
    s.d ^= word
    stir(s)
    stir(s)
    s.a ^= word


cdef inline State begun(const uint64_t* secret) noexcept nogil:
    cdef State s
    s.a = secret[0] ^ 0x736f6d6570736575ull
    s.b = secret[1] ^ 0x646f72616e646f6dull ^ 0xee
    s.c = secret[0] ^ 0x6c7967656e657261ull
    s.d = secret[1] ^ 0x7465646279746573ull
    return s


cdef inline void take_text(State* s, Span text) noexcept nogil:
    """The last word of a text says its length modulo 256."""
    cdef const uint8_t* end = text.ptr + (text.len & ~<Py_ssize_t>7)
    cdef const uint8_t* at = text.ptr
    cdef uint64_t word
    while at < end:
        memcpy(&word, at, 8)
        take(s, word)
        at += 8
    word = <uint64_t>text.len << 56
    while at < text.ptr + text.len:
        word |= <uint64_t>at[0] << ((at - end) * 8)
        at += 1
    take(s, word)


cdef inline uint64_t half(State* s) noexcept nogil:
    stir(s)
    stir(s)
    stir(s)
    stir(s)
    return s.a ^ s.b ^ s.c ^ s.d


cdef inline Key ended(State* s) noexcept nogil:
    cdef Key key
    s.c ^= 0xee
    key.low = half(s)
    s.b ^= 0xdd
    key.high = half(s)
    return key


cdef Key key_of(const Memo* memo, Span text, const uint64_t* terms) noexcept nogil:
    cdef State s = begun(memo.secret)
    cdef int i
    for i in range(MEMO_TERMS):
        take(&s, terms[i])
    take_text(&s, text)
    return ended(&s)


cdef const Searched* recalled(const Memo* memo, const Key* key) noexcept nogil:
    """The search of a key, or NULL; it lives until the next one is kept."""
    cdef const Searched* slot
    if memo.slots == NULL:
        return NULL
    slot = &memo.slots[key.low & (MEMO_SLOTS - 1)]
    return slot if slot.key.low == key.low and slot.key.high == key.high else NULL


cdef bint keep(Memo* memo, const Searched* searched) noexcept nogil:
    """Keeps a search, unless its slot has a longer text of the same message. False: no memory."""
    cdef Searched* slot
    if memo.slots == NULL:
        memo.slots = <Searched*>PyMem_RawCalloc(MEMO_SLOTS, sizeof(Searched))
        if memo.slots == NULL:
            return False
    slot = &memo.slots[searched.key.low & (MEMO_SLOTS - 1)]
    if slot.message != searched.message or slot.length <= searched.length:
        slot[0] = searched[0]
    return True


cdef void forget(Memo* memo) noexcept nogil:
    """Frees the memory."""
    PyMem_RawFree(memo.slots)
    memo.slots = NULL


def siphash(bytes secret not None, bytes text not None):
    """SipHash-2-4 of 128 bits, for tests on little-endian machines.

    Args:
        secret: 16 bytes.
        text: what is hashed.

    Returns:
        16 bytes.

    Raises:
        ValueError: the secret has another length.
    """
    cdef uint64_t words[2]
    cdef State s
    cdef Key key
    if len(secret) != sizeof(words):
        raise ValueError(f"a secret of 16 bytes is needed, not {len(secret)}")
    memcpy(words, <const char*>secret, sizeof(words))
    s = begun(words)
    take_text(&s, span(<const uint8_t*><const char*>text, len(text)))
    key = ended(&s)
    return (<char*>&key)[:sizeof(key)]
