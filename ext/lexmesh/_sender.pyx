"""What this node itself says to one peer: described, encoded, policed as it leaves, numbered and counted."""

from lexmesh.errors import DeniedError, NotConnectedError

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from lexmesh._buffer cimport Buffer
from lexmesh._emit cimport emit_json, emit_proto
from lexmesh._envelope cimport HAS_TTL, JSON, JSON_VALUE, OPAQUE_BYTES, PROTO, Envelope, clear
from lexmesh._fields cimport Fields, plain_payload, set_text
from lexmesh._identity cimport printed_id
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
        return self.say(event_type, data, metadata, target_node, now, ttl, priority, reply_to, depth)

    cdef str say(self, event_type, data, metadata, target_node, int64_t now, ttl, uint32_t priority, reply_to,
                 uint32_t depth):
        cdef Envelope env
        cdef Fields fields = None
        cdef dict texts = None
        if metadata:
            fields = Fields.__new__(Fields)
            texts = fields.mapping(metadata)
        self._begin(&env, event_type, now)
        env.depth = <uint32_t>self.core.cause_depth if self.core.cause_depth >= 0 and depth == 0 else depth
        env.priority = priority
        if ttl is not None:
            env.ttl_ms = ttl
            env.has = HAS_TTL
        if data is not None and not plain_payload(&env, data):
            fields = Fields.__new__(Fields) if fields is None else fields
            fields.payload(&env, data)
            if env.payload_kind == JSON_VALUE:
                self._check_json(env.payload)
        if texts is not None:
            fields.metadata(&env, texts)    # from here on no Python code runs that might change it
        set_text(&env.target_node, target_node, "target_node")
        set_text(&env.reply_to, reply_to, "reply_to")
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
        cdef Fields fields = None
        cdef dict texts = None
        cdef Span text = span(<const uint8_t*>PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line))
        self._check_json(text)      # before it is part of a message, which it might end early
        if metadata:
            fields = Fields.__new__(Fields)
            texts = fields.mapping(metadata)
        self._begin(&env, event_type, now)
        if texts is not None:
            fields.metadata(&env, texts)
        env.payload = text
        env.payload_kind = JSON_VALUE
        return self._publish(&env)

    cdef int _begin(self, Envelope* env, event_type, int64_t now) except -1:
        """Describes what all events of this node have; their texts live as long as the caller's arguments."""
        clear(env)
        env.rewrite = True      # there is nothing to splice
        if event_type is not self.last_type or event_type is None:
            self.last_type = None
            self.last_name = span(NULL, 0)
            self.last_subject = NULL
            set_text(&self.last_name, event_type, "event_type")
            self.last_type = event_type
        env.event_type = self.last_name
        env.source_node = self.core.name_span
        env.timestamp = self.core.now = now
        env.epoch = self.core.origin.epoch
        env.seq = self.core.origin.seq + 1
        return 0

    cdef str _publish(self, Envelope* env):
        """Polices an event of this node, counts it as taken in and routed to this peer, queues it and names its id.

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
            subject = self._subject(env)
            self._police_own(env, subject)
        self.check_ready()
        self.core.origin.seq = env.seq
        self._count_own(subject)
        self.queue_own(span(out.ptr, out.len), subject)
        return printed_id(self.core.node_id, env.epoch, env.seq)

    cdef inline int _count_own(self, Subject* subject) except -1:
        """Counts a message of this node as taken in, routed here and pending."""
        self.core.origin.tally.taken += 1
        subject.tally.taken += 1
        self.core.origin.tally.ingress[<int>ROUTED] += 1
        subject.tally.ingress[<int>ROUTED] += 1
        self.tally.offered += 1
        subject.tally.offered += 1
        self.pending += 1
        return 0

    cdef Subject* _subject(self, const Envelope* env) except NULL:
        """The subject of a message of this node's. That of the type published last is known: the very str is kept."""
        cdef Subject* subject
        cdef bint is_last = env.event_type.ptr == self.last_name.ptr
        if (is_last and self.last_subject != NULL and env.target_node.len == 0 and env.reply_to.len == 0
                and env.raw.len <= self.core.max_published):
            return self.last_subject
        subject = self.core.subject_of_own(env)
        if is_last:
            self.last_subject = subject
        return subject

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
