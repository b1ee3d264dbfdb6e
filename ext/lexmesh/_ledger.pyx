"""Outcome counters: names, sums and the balance that must hold whenever the loop is idle."""

from libc.stdint cimport uint64_t

INGRESS_NAMES = ("routed", "denied", "filtered", "expired", "duplicate", "looped", "malformed", "unroutable")
DROP_NAMES = ("overflow", "disconnected", "cancelled")


cdef dict ingress_counts(const Tally* tally):
    return {name: tally.ingress[i] for i, name in enumerate(INGRESS_NAMES)}


cdef dict egress_counts(const Tally* tally, uint64_t in_flight):
    return {
        "offered": tally.offered,
        "delivered": tally.delivered,
        "failed": tally.failed,
        "dropped": {name: tally.dropped[i] for i, name in enumerate(DROP_NAMES)},
        "in_flight": in_flight,
    }


cdef void add(Tally* total, const Tally* part) noexcept nogil:
    cdef int i
    total.taken += part.taken
    for i in range(<int>INGRESS_OUTCOMES):
        total.ingress[i] += part.ingress[i]
    total.offered += part.offered
    total.delivered += part.delivered
    total.failed += part.failed
    for i in range(<int>DROP_REASONS):
        total.dropped[i] += part.dropped[i]


cdef bint balances(const Tally* tally, uint64_t undecided, uint64_t in_flight) noexcept nogil:
    """Whether every message is accounted for. The gauges are counted apart from the tally, so this can fail."""
    cdef uint64_t ingress = undecided
    cdef uint64_t egress = tally.delivered + tally.failed + in_flight
    cdef int i
    for i in range(<int>INGRESS_OUTCOMES):
        ingress += tally.ingress[i]
    for i in range(<int>DROP_REASONS):
        egress += tally.dropped[i]
    return ingress == tally.taken and egress == tally.offered
