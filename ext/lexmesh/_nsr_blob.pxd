"""Base64, base32 and hex of plausible text."""

from libc.stdint cimport uint8_t, uint32_t

from lexmesh._buffer cimport Buffer
from lexmesh._span cimport Span

cdef enum Alphabet:
    BASE64
    BASE64_URL
    BASE32
    HEX


cdef bint next_run(Span text, Alphabet alphabet, Py_ssize_t* at, Span* run) noexcept nogil
cdef bint next_line(Span lines, Alphabet alphabet, Py_ssize_t* at, Span* line) noexcept nogil
cdef bint next_wrapped(Span text, Alphabet alphabet, Py_ssize_t* at, Span* whole, Buffer* joined) noexcept nogil
cdef bint decode_run(Span run, Alphabet alphabet, Buffer* out) noexcept nogil
cdef bint is_plausible(Span text) noexcept nogil
