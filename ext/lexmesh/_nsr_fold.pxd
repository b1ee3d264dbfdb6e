"""Text to symbols: the letters that each character can be read as, with case, invisible characters and marks gone."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from lexmesh._buffer cimport Buffer
from lexmesh._span cimport Span

cdef extern from "nsr_fold_tables.h" nogil:
    int CLASSES "LM_FOLD_CLASSES"       # letters that some character confuses share a class
    const uint8_t lm_fold_class[36]

cdef extern from "text.h" nogil:
    unsigned lm_ctz32(uint32_t bits) noexcept

cdef enum:
    LETTERS = 36        # a-z, then 0-9
    SPACE = 36          # how a pattern writes the place between two of its words
    MIN_SPACED = 3      # fewer letters set apart are not taken for a word

cdef enum Flag:
    UPPER = 1
    SYMBOLIC = 2        # punctuation that can pass for a letter: it may also be what it is, a word's end
    LEETED = 4          # a digit or ASCII symbol
    EDGE = 8            # first symbol after the end of an array element or of a key
    SEPARATOR = 16      # not a letter or digit; mask counts how many in a row
    OTHER = 32          # a letter or digit that looks like no Latin one

cdef enum Seen:
    SEEN_SYMBOLIC = 1
    SEEN_TAG = 2
    SEEN_OVERRIDE = 4   # U+202E, right-to-left override


cdef struct Symbols:
    uint64_t* masks     # bit n: can be read as letter n
    uint8_t* flags
    Py_ssize_t len
    Py_ssize_t capacity


cdef bint fold(Span text, Symbols* out, int* seen) noexcept nogil
cdef bint symbolic_as_separators(const Symbols* text, Symbols* out) noexcept nogil
cdef bint spaced_letters(const Symbols* text, Symbols* out, bint* whole) noexcept nogil
cdef Py_ssize_t tag_text(Span text, uint8_t* out) noexcept nogil
cdef Py_ssize_t override_text(Span text, uint8_t* out) noexcept nogil
cdef bint plain_text(Span text, Buffer* out, bint* changed) noexcept nogil
cdef Py_ssize_t skip_blank(Span text) noexcept nogil
cdef void free_symbols(Symbols* symbols) noexcept nogil
cdef Py_ssize_t kept_symbols(Symbols* symbols, Py_ssize_t most) noexcept nogil


cdef inline int class_of(uint64_t mask) noexcept nogil:
    """The class shared by every letter of a non-empty mask."""
    if <uint32_t>mask:
        return lm_fold_class[lm_ctz32(<uint32_t>mask)]
    return lm_fold_class[32 + lm_ctz32(<uint32_t>(mask >> 32))]
