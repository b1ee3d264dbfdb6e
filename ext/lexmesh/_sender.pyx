"""What this node itself says to one peer: described, encoded, policed as it leaves, numbered and counted."""

from lexmesh.errors import DeniedError, NotConnectedError

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from lexmesh._buffer cimport Buffer
from lexmesh._emit cimport emit_json, emit_proto, put_decimal
from lexmesh._envelope cimport JSON, JSON_VALUE, OPAQUE_BYTES, PROTO, Envelope
from lexmesh._fields cimport Fields, describe
from lexmesh._ledger cimport ROUTED
from lexmesh._router cimport Subject
from lexmesh._span cimport OK, Span, Status, span
from lexmesh._status cimport malformed

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t length, unsigned int largest)
    void* PyUnicode_DATA(object text) noexcept


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
        self.id_prefix = f"{core.node_id}:{core.origin.epoch}:".encode()
        self.id_is_ascii = self.id_prefix.isascii()

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
        return self.say(event_type, data, metadata, target_node, now, ttl, priority, reply_to, depth)

    cdef str say(self, event_type, data, metadata, target_node, int64_t now, ttl, uint32_t priority, reply_to,
                 uint32_t depth):
        cdef Envelope env
        cdef Fields fields = Fields.__new__(Fields)
        if self.core.cause_depth >= 0 and depth == 0:
            depth = <uint32_t>self.core.cause_depth
        self.core.now = now
        describe(&env, fields, event_type, data, metadata, None, target_node, now, self.core.origin.epoch,
                 self.core.origin.seq + 1, depth, ttl, priority, reply_to)
        if env.payload_kind == JSON_VALUE and not fields.strict:
            self._check_json(env.payload)
        return self._publish(&env)

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
        return self.say_json(event_type, line, metadata, now)

    cdef str say_json(self, event_type, bytes line, metadata, int64_t now):
        cdef Envelope env
        cdef Fields fields = Fields.__new__(Fields)
        cdef Span text = span(<const uint8_t*>PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
        self.core.now = now
        self._check_json(text)      # before it is part of a message, which it might end early
        describe(&env, fields, event_type, None, metadata, None, None, now, self.core.origin.epoch,
                 self.core.origin.seq + 1, 0, None, 0, None)
        env.payload = text
        env.payload_kind = JSON_VALUE
        return self._publish(&env)

    cdef str _publish(self, Envelope* env):
        """Polices an event of this node, counts it as taken in and routed to this peer, queues it and names its id.

        A JSON payload has been walked by now, so `env` is what a peer's decoder would make of the message. What a peer
        takes bytes for, JSON or text or neither, is its decoder's to say.
        """
        cdef Envelope decoded
        cdef Subject* subject
        cdef Buffer* out = &self.core.own
        self.core.check_thread()
        env.source_node = self.core.name_span
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
        self.queue_own(span(out.ptr, out.len), subject)
        return self._id(env.seq)

    cdef str _id(self, uint64_t seq):
        """The printed id of an event of this node."""
        cdef uint8_t digits[20]
        cdef Py_ssize_t count = put_decimal(digits, seq) - digits
        cdef Py_ssize_t length = PyBytes_GET_SIZE(self.id_prefix)
        cdef object id
        if not self.id_is_ascii:
            return f"{self.core.node_id}:{self.core.origin.epoch}:{seq}"
        id = PyUnicode_New(length + count, 127)
        memcpy(PyUnicode_DATA(id), PyBytes_AS_STRING(self.id_prefix), <size_t>length)
        memcpy(<char*>PyUnicode_DATA(id) + length, digits, <size_t>count)
        return id

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
