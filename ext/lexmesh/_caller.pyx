"""What a node says in calls that are answered one by one: policed and counted here, carried by whoever asked for it."""

from lexmesh.errors import NotConnectedError

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t

from lexmesh._envelope cimport OPAQUE_BYTES, Envelope
from lexmesh._fields cimport Fields, set_text
from lexmesh._ledger cimport Drop
from lexmesh._pipeline cimport Core
from lexmesh._router cimport Subject
from lexmesh._sender cimport Sender
from lexmesh._span cimport Span, span


cdef class Caller(Sender):
    """Makes the protobuf messages of calls.

    Each is in flight in the ledger until `settle` says what became of it.

    Args:
        core: the node's pipeline.
    """

    def __init__(self, Core core not None):
        Sender.__init__(self, core, True)

    def open(self):
        """There is a connection from now on: what passes the policy is counted and handed out."""
        self.closed = False

    def close(self):
        """There is none any more: what passes the policy finds that there is nowhere to send."""
        self.closed = True

    cdef int check_ready(self) except -1:
        if self.closed:
            raise NotConnectedError
        return 0

    cdef int queue_own(self, Span message, Subject* subject) except -1:
        self.message = PyBytes_FromStringAndSize(<const char*>message.ptr, message.len)
        return 0

    cdef bytes _taken(self):
        cdef bytes message = self.message
        self.message = None
        return message

    def event(self, event_type, data, metadata, target_node, int64_t now, ttl, uint32_t priority, reply_to,
              uint32_t depth):
        """One EventMessage of this node, numbered.

        Args:
            event_type, data, metadata, target_node, ttl, priority, reply_to: as in StreamEvent.
            now: milliseconds since 1970-01-01 UTC.
            depth: hops of what caused it, plus one.

        Returns:
            The serialised message.

        Raises:
            DeniedError: if the policy refuses it.
            MalformedError: if the fields do not make a message.
            NotConnectedError: if there is no connection.
            TypeError: if a field has the wrong type.
        """
        self.say(event_type, data, metadata, target_node, now, ttl, priority, reply_to, depth)
        return self._taken()

    def datum(self, data_type, bytes data not None, metadata, target_node, int64_t now):
        """One DataMessage of this node; it has no number, which the gateway gives it.

        Args:
            data_type: the subject.
            data: the reading as it is; the gateway takes it for JSON if it parses, else for text, else for bytes.
            metadata, target_node: as in StreamEvent.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            The serialised message.

        Raises:
            DeniedError: if the policy refuses it.
            MalformedError: if the fields do not make a message.
            NotConnectedError: if there is no connection.
            TypeError: if a field has the wrong type.
        """
        cdef Envelope env, decoded
        cdef Subject* subject
        cdef Fields fields = None
        cdef dict texts = None
        cdef Span message
        self.core.check_thread()
        if metadata:
            fields = Fields.__new__(Fields)
            texts = fields.mapping(metadata)
        self._begin(&env, data_type, now)
        env.epoch = env.seq = 0
        env.payload = span(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        env.payload_kind = OPAQUE_BYTES
        if texts is not None:
            fields.metadata(&env, texts)
        set_text(&env.target_node, target_node, "target_node")
        self.encode(&env)
        message = span(self.core.own.ptr, self.core.own.len)
        subject = self.core.decode_own(message, self.format, &decoded)
        self._police_own(&decoded, subject)
        self.check_ready()
        self._count_own(subject)
        self.queue_own(message, subject)
        return self._taken()

    def settle(self, str event_type not None, bint answered):
        """Says what became of a message: the peer answered it, whatever it said, or the connection broke."""
        cdef bytes name = event_type.encode()
        cdef Subject* subject = self.core.router.find(
            span(<const uint8_t*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)))
        if not answered:
            self.drop(subject, Drop.DISCONNECTED, 1)
            return
        self.pending -= 1
        self.tally.delivered += 1
        subject.tally.delivered += 1
