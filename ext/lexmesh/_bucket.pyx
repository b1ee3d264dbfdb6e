"""A token bucket that lends: what has been read cannot be unread, so a peer goes into debt and then has to wait."""

from libc.math cimport ceil
from libc.stdint cimport int64_t


cdef class TokenBucket:
    """So many tokens a second, and so many at once.

    Args:
        rate: tokens that come in a second, more than 0.
        burst: tokens that it holds at most; it begins full.
    """

    def __init__(self, double rate, double burst):
        if not (rate > 0 and burst > 0):
            raise ValueError(f"rate {rate:g} and burst {burst:g} must be more than 0")
        self.per_ms = rate / 1000
        self.burst = self.tokens = burst
        self.at = -1

    cpdef int64_t spend(self, int64_t count, int64_t now) noexcept:
        """Takes tokens, lent ones if need be.

        Args:
            count: how many.
            now: milliseconds on a clock that may be set: what it jumps back counts for nothing.

        Returns:
            Milliseconds until nothing is owed any more, 0 if nothing is.
        """
        if self.at >= 0 and now > self.at:
            self.tokens = min(self.burst, self.tokens + (now - self.at) * self.per_ms)
        self.at = now
        self.tokens -= count
        return 0 if self.tokens >= 0 else <int64_t>ceil(-self.tokens / self.per_ms)
