"""Wall time, for compiled and for Python code alike, so that both have the same when a simulation says what it is.

A function in a module of its own and not inline: there is one time for all modules, and a simulation can set it.
"""

from libc.stdint cimport int64_t


cdef extern from "<time.h>" nogil:
    struct timespec:
        int64_t tv_sec
        long tv_nsec
    int timespec_get(timespec* ts, int base)
    int TIME_UTC


cdef int64_t virtual_ns = 0     # since 1970-01-01 UTC; 0 while the time is the machine's


cdef inline int64_t now_ns() noexcept nogil:
    """Nanoseconds since 1970-01-01 UTC (timespec_get, C11 section 7.27.2.5)."""
    cdef timespec now
    if virtual_ns:
        return virtual_ns
    timespec_get(&now, TIME_UTC)
    return now.tv_sec * 1000000000 + now.tv_nsec


cdef int64_t now_ms() noexcept nogil:
    """Milliseconds since 1970-01-01 UTC."""
    return now_ns() // 1000000


def wall_ns():
    """Nanoseconds since 1970-01-01 UTC."""
    return now_ns()


def set_virtual(int64_t ns):
    """Has the whole process see another time, standing still until the next call.

    Args:
        ns: nanoseconds since 1970-01-01 UTC; 0 for the machine's own time again.
    """
    global virtual_ns
    virtual_ns = ns


def is_virtual():
    """Whether the time is not the machine's."""
    return virtual_ns != 0
