"""Counters of what became of messages: one Tally a subject and one an endpoint."""

from libc.stdint cimport uint64_t

cdef enum Ingress:      # each message taken in has exactly one
    ROUTED = 0
    DENIED
    FILTERED
    EXPIRED
    DUPLICATE
    LOOPED
    MALFORMED
    UNROUTABLE
    INGRESS_OUTCOMES
    UNDECIDED           # not an outcome: an async filter still holds the message

cdef enum Drop:         # why a routed message did not reach one recipient
    OVERFLOW = 0        # its queue was full or too old
    DISCONNECTED        # its link broke with the message still queued
    CANCELLED           # its async handler was cancelled by a stop
    DROP_REASONS


cdef struct Tally:
    uint64_t taken                          # messages that came in; the sum of ingress plus those undecided
    uint64_t ingress[8]                     # by Ingress
    uint64_t offered                        # routed messages times their recipients
    uint64_t delivered
    uint64_t failed
    uint64_t dropped[3]                     # by Drop


cdef dict ingress_counts(const Tally* tally)
cdef dict egress_counts(const Tally* tally, uint64_t in_flight)
cdef void add(Tally* total, const Tally* part) noexcept nogil
cdef bint balances(const Tally* tally, uint64_t undecided, uint64_t in_flight) noexcept nogil
