"""Percent signs, HTML entities, backslashes and quoted-printable: escapes of single characters."""

from libc.stdint cimport uint8_t, uint32_t

from lexmesh._buffer cimport Buffer
from lexmesh._span cimport Span

cdef bint unescape_text(Span text, Buffer* out, bint* changed) noexcept nogil
cdef bint unescape_quoted(Span text, Buffer* out, bint* changed) noexcept nogil
cdef Py_ssize_t low_surrogate(const uint8_t* at, const uint8_t* end, uint32_t* point) noexcept nogil
