"""Wall time in milliseconds. Only links read it; everything below is told the time."""

from libc.stdint cimport int64_t


cdef extern from "<time.h>" nogil:
    struct timespec:
        int64_t tv_sec
        long tv_nsec
    int timespec_get(timespec* ts, int base)
    int TIME_UTC


cdef inline int64_t now_ms() noexcept nogil:
    """Milliseconds since 1970-01-01 UTC (timespec_get, C11 section 7.27.2.5)."""
    cdef timespec now
    timespec_get(&now, TIME_UTC)
    return now.tv_sec * 1000 + now.tv_nsec // 1000000
