"""Characters by their numbers: `66 6f 72`, `0x66, 0x6f`, `102,111,114`, `146 157`, `U+0066`."""

from libc.stdint cimport uint8_t

from lexmesh._buffer cimport Buffer
from lexmesh._span cimport Span

cdef extern from "nsr_codes.h" nogil:
    enum:
        LM_NUMBERS      # numbers that may be characters
        LM_EQUALS       # quoted-printable
    int lm_code_kinds(const uint8_t* text, size_t length) noexcept

cdef enum Base:
    HEX_CODES
    DECIMAL_CODES
    OCTAL_CODES


cdef bint next_codes(Span text, Base base, Py_ssize_t* at, Buffer* out) noexcept nogil
cdef Span printable_part(Span data) noexcept nogil
cdef int code_kinds(Span text) noexcept nogil
