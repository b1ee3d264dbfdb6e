"""What this node itself says to one peer: described, encoded, policed as it leaves, numbered and counted."""

from lexmesh.errors import DeniedError, NotConnectedError

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t

from lexmesh._buffer cimport Buffer
from lexmesh._emit cimport emit_json, emit_proto
from lexmesh._envelope cimport JSON, JSON_VALUE, OPAQUE_BYTES, PROTO, Envelope
from lexmesh._fields cimport Fields, describe
from lexmesh._ledger cimport ROUTED
from lexmesh._router cimport Subject
from lexmesh._span cimport OK, Span, Status, span
from lexmesh._status cimport malformed


cdef class Sender(Backlog):
    """Checks all that a link checks, and needs no link for it: what passes here then finds that there is none.

    Args:
        core: the node's pipeline.
        proto: whether messages are protobuf rather than JSON.
    """

    def __init__(self, Core core not None, bint proto):
        self.core = core
        self.format = PROTO if proto else JSON
        self.closed = True

    cdef int check_ready(self) except -1:
        """Raises unless a message may be queued now."""
        raise NotConnectedError

    cdef int queue_own(self, Span message, Subject* subject) except -1:
        """Queues what has been counted as pending here."""
        return 0

    def publish(self, event_type, data, metadata, target_node, int64_t now, ttl, priority, reply_to, depth):
        """Sends one event of this node to the peer, numbered and counted; see WebSocketClient.publish.

        Args:
            now: milliseconds since 1970-01-01 UTC.
            depth: hops of what caused it, plus one.
        """
        cdef Envelope env
        cdef Fields fields = Fields()
        cdef uint64_t seq = self.core.origin.seq + 1
        if self.core.cause_depth >= 0 and depth == 0:
            depth = self.core.cause_depth
        self.core.now = now
        describe(&env, fields, event_type, data, metadata, self.core.node_id or None, target_node, now,
                 self.core.origin.epoch, seq, depth, ttl, priority, reply_to)
        if env.payload_kind == JSON_VALUE:
            self._check_json(env.payload)
        self._publish(&env)
        return f"{self.core.node_id}:{self.core.origin.epoch}:{seq}"

    def publish_json(self, event_type, bytes line not None, metadata, int64_t now):
        """Sends one event whose data is JSON text.

        Args:
            event_type, metadata: as in StreamEvent.
            line: one JSON value, UTF-8.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            Its id.

        Raises:
            DeniedError: if the policy refuses it.
            MalformedError: if the line is not strict JSON.
        """
        cdef Envelope env
        cdef Fields fields = Fields()
        cdef Span text = span(<const uint8_t*>PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
        cdef uint64_t seq = self.core.origin.seq + 1
        self.core.now = now
        self._check_json(text)      # before it is part of a message, which it might end early
        describe(&env, fields, event_type, None, metadata, self.core.node_id or None, None, now,
                 self.core.origin.epoch, seq, 0, None, 0, None)
        env.payload = text
        env.payload_kind = JSON_VALUE
        self._publish(&env)
        return f"{self.core.node_id}:{self.core.origin.epoch}:{seq}"

    cdef int _publish(self, Envelope* env) except -1:
        """Polices an event of this node, counts it as taken in and routed to this peer, and queues it.

        A JSON payload has been walked by now, so `env` is what a peer's decoder would make of the message. What a peer
        takes bytes for, JSON or text or neither, is its decoder's to say.
        """
        cdef Envelope decoded
        cdef Subject* subject
        cdef Buffer* out = &self.core.own
        self.core.check_thread()
        self.encode(env)
        env.raw = span(out.ptr, out.len)    # the scanner's patience grows with it
        if env.payload_kind == OPAQUE_BYTES:
            subject = self.core.decode_own(env.raw, self.format, &decoded)
            self._police_own(&decoded, subject)
        else:
            subject = self.core.subject_of_own(env)
            self._police_own(env, subject)
        self.check_ready()
        self.core.origin.seq = env.seq
        self.core.origin.tally.taken += 1
        subject.tally.taken += 1
        self.core.origin.tally.ingress[<int>ROUTED] += 1
        subject.tally.ingress[<int>ROUTED] += 1
        self.tally.offered += 1
        subject.tally.offered += 1
        self.pending += 1
        return self.queue_own(span(out.ptr, out.len), subject)

    cdef int _check_json(self, Span text) except -1:
        cdef Py_ssize_t at = 0
        cdef Status status = self.core.decoder.walker.document(text, &at)
        if status != OK:
            raise malformed(status, at)
        return 0

    cdef int _police_own(self, Envelope* env, Subject* subject) except -1:
        if not self.core.allows_own(env, subject):
            raise DeniedError(*self.core.last_refusal)
        return 0

    cdef int encode(self, Envelope* env) except -1:
        """Writes an envelope in this link's format to the core's scratch."""
        cdef Buffer* out = &self.core.own
        out.len = 0
        if not (emit_proto(env, out) if self.format == PROTO else emit_json(env, out)):
            raise MemoryError
        return 0
