"""One of several ways to a medium, on which what is said in one place must not overtake what is said in another.

Who hears a source's latest message first takes its earlier ones for duplicates, if there are more of them than its window
spans. So the messages that a node routes are counted off in rounds, and a Batch holds messages of one round only: whoever
hands on all Batches of a round before those of the next keeps the order to within a round.
"""

from lexmesh._outbox cimport Outbox
from lexmesh._relay cimport Relay
from lexmesh._router cimport Endpoint, Subject

from libc.stdint cimport uint32_t


cdef class MediumLink(StreamLink):
    """A link as an endpoint; arguments as for StreamLink."""

    cdef int deliver(self, Relay* relay, Subject* subject, Endpoint source, object event) except -1:
        self.round = <uint32_t>(self.core.routed // ROUND)
        return Outbox.deliver(self, relay, subject, source, event)

    cdef Py_ssize_t _most_together(self) noexcept nogil:
        cdef Py_ssize_t i
        cdef Py_ssize_t most = 0
        for i in range(self.record_first, self.record_first + self.riding):
            if self.records[i].round != self.records[self.record_first].round:
                break
            most += self.records[i].count
        return most

    @property
    def front_round(self):
        """The round of what `front` gives; 0 for nothing."""
        return self.records[self.record_first].round if self.record_count else 0
