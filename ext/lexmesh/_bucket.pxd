"""A token bucket, as links hold one."""

from libc.stdint cimport int64_t


cdef class TokenBucket:
    cdef double per_ms
    cdef double burst
    cdef double tokens          # below 0: owed
    cdef int64_t at             # ms; when `tokens` was true, -1 before the first look

    cpdef int64_t spend(self, int64_t count, int64_t now) noexcept
