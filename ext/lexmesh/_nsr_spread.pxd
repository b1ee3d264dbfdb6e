"""Characters set apart: an encoding written as `a-G-F-y-b-Q`."""

from libc.stdint cimport uint8_t

from lexmesh._buffer cimport Buffer
from lexmesh._span cimport Span

cdef enum:
    MIN_PERIOD = 2
    MAX_PERIOD = 6      # bytes from one character to the next
    MIN_CLOSE = 6       # letters and digits that follow each other closely: base64 of four letters


cdef bint next_spread(Span text, int period, int least, Py_ssize_t* at, Buffer* out) noexcept nogil
