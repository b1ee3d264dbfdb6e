"""UTF-16 and UTF-32, told from their bytes."""

from libc.stdint cimport uint8_t

from lexmesh._buffer cimport Buffer
from lexmesh._span cimport Span

cdef enum Wide:         # bits
    UTF16_LE = 1
    UTF16_BE = 2
    UTF32_LE = 4
    UTF32_BE = 8


cdef int wide_forms(Span data) noexcept nogil
cdef bint from_wide(Span data, Wide form, Buffer* out) noexcept nogil
