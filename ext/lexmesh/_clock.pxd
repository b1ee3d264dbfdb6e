"""Wall time in milliseconds. Only links read it; everything below is told the time."""

from libc.stdint cimport int64_t


cdef int64_t now_ms() noexcept nogil
