"""Messages that are handed to one handler each, as work that is kept elsewhere until it is done.

Such a message has been routed where it was published. Here it is decoded and policed as whatever comes from outside, and
goes past duplicates' windows, subscriptions and links to the handler that it is given to. Each time that it is given
counts as a message taken in and delivered.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t

from lexmesh._batch cimport next_in_batch
from lexmesh._codec cimport StreamEvent, event_from
from lexmesh._envelope cimport PROTO, Envelope
from lexmesh._handlers cimport HandlerEndpoint
from lexmesh._ledger cimport DENIED, FILTERED, ROUTED, Ingress
from lexmesh._pipeline cimport Core
from lexmesh._router cimport Endpoint, Subject
from lexmesh._span cimport OK, TOO_BIG, UNKNOWN_FIELD, Span, Status, span
from lexmesh._status cimport malformed
from lexmesh._unknown cimport allows_unknown, decode_newer

cdef enum:
    MOST_STAMPS = 1024      # bytes that a node may have added to a message of the largest size


def parts_of(bytes batch not None):
    """Takes a Batch apart.

    Args:
        batch: a serialised Batch.

    Returns:
        Its events, each serialised, in order.

    Raises:
        MalformedError: if it is none.
    """
    cdef Span whole = span(<const uint8_t*>PyBytes_AS_STRING(batch), PyBytes_GET_SIZE(batch))
    cdef Span event
    cdef Status status
    cdef Py_ssize_t at = 0
    cdef list parts = []
    while at < whole.len:
        status = next_in_batch(whole, &at, &event)
        if status != OK:
            raise malformed(status, at)
        parts.append(event.ptr[:event.len])
    return parts


cdef class WorkSource(Endpoint):
    """Where work comes from.

    Args:
        core: the node's pipeline.
        owner: has `remote_address`, which the audit names.
    """

    def __init__(self, Core core not None, owner):
        self.core = core
        self.owner = owner
        self.is_node = self.on_medium = True

    def examine(self, bytes message not None, int64_t now):
        """Decodes and polices a message; what is refused is counted, and recorded by the audit.

        Args:
            message: a serialised EventMessage.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            The event; None for one that is malformed, denied, expired or looped.
        """
        cdef Envelope env
        cdef Subject* subject
        cdef Ingress outcome
        cdef Py_ssize_t at = 0
        cdef Status status = TOO_BIG
        cdef bint is_newer = False
        cdef Span raw = span(<const uint8_t*>PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message))
        self.core.now = now
        if raw.len <= self.core.max_message_size + MOST_STAMPS:
            status = self.core.decoder.decode(raw, PROTO, &env, &at)
        if status == UNKNOWN_FIELD:
            is_newer = True
            status = decode_newer(self.core.decoder, raw, &env, &at)
        if status != OK:
            self.core._malformed(status, at, self)
            return None
        subject = self.core.router.find(env.event_type)
        if subject.reserved or not env.source_node.len:
            self.core.refuse("work that no node has stored", self)
            return None
        if is_newer and not allows_unknown(self.core.scanner, self.core.decoder, &env, &self.core.verdict):
            self.core._deny(&env, subject, self)
            outcome = DENIED
        elif not self.core._police(&env, subject, self):
            outcome = DENIED
        else:
            outcome = self.core._refusal(&env, self, now)
        if outcome == ROUTED:
            return event_from(&env, self.core.decoder)
        self._count(subject, outcome)
        return None

    def hand(self, StreamEvent event not None, HandlerEndpoint handler not None):
        """Calls a handler with an event that `examine` gave."""
        cdef Subject* subject = self.core.router.find(event.env.event_type)
        self._count(subject, ROUTED)
        self.core._offer(handler, subject, self, event)

    def filtered(self, StreamEvent event not None):
        """Counts an event that filters did not let pass."""
        self._count(self.core.router.find(event.env.event_type), FILTERED)

    cdef int _count(self, Subject* subject, Ingress outcome) except -1:
        self.tally.taken += 1
        subject.tally.taken += 1
        self.core._count(outcome, subject, self)
        return 0
