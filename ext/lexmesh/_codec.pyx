"""The event that Python sees: decoded field by field, when a field is read."""

import time

import orjson

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Copy
from libc.stdint cimport uint8_t, uint64_t

from lexmesh._buffer cimport Buffer, release
from lexmesh._decoder cimport Decoder
from lexmesh._emit cimport emit_json, emit_proto, is_binary, is_json_data
from lexmesh._envelope cimport HAS_TTL, JSON, NO_PAYLOAD, PROTO, Envelope, Format, check_names, parse_id
from lexmesh._fields cimport Fields, describe, set_text
from lexmesh._identity cimport printed_id
from lexmesh._keep cimport keep
from lexmesh._load cimport LEFT, load
from lexmesh._names cimport name_at, text_at
from lexmesh._span cimport BAD_ID, OK, Span, Status, span
from lexmesh._status cimport malformed

cdef enum:
    MOST_KEPT = 1048576     # bytes of `encoded` that are kept for the next message

cdef object UNREAD = object()
cdef Buffer encoded         # the message written last
cdef object loads = orjson.loads
cdef Decoder shared_decoder = Decoder()


cdef inline Span bytes_span(bytes data):
    return span(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef inline dict own_dict(object pairs):
    return PyDict_Copy(pairs) if type(pairs) is dict else dict(pairs)


cdef inline StreamEvent event_from(const Envelope* env, Decoder decoder):
    """An event of its own memory from an Envelope that dies soon."""
    return (<StreamEvent>StreamEvent.__new__(StreamEvent)).adopt(env, decoder)


@cython.freelist(256)
cdef class StreamEvent:
    """An event: a subject, its data, and where it comes from.

    Args:
        event_type: the subject; an EventType or any dot-separated tokens.
        data: anything JSON-able, or bytes.
        source_node: who caused it; filled by the node that takes it in when empty.
        target_node: one node's name; empty for everyone who subscribes.
        metadata: str to str, policed in full.
        timestamp: milliseconds since 1970-01-01 UTC; now when None.
        id: `source:epoch:seq`; stamped by the node that takes it in when empty.
        depth: causation and forwarding hops so far.
        ttl: milliseconds after timestamp until it expires; None for never.
        priority: larger is more urgent; 0 is normal.
        reply_to: id of the request that this answers.

    Raises:
        MalformedError: if id is not `source:epoch:seq`.
    """

    def __init__(self, event_type, data=None, *, source_node="", target_node="", metadata=None, timestamp=None,
                 id="", depth=0, ttl=None, priority=0, reply_to=""):
        self._event_type = str(event_type)
        self._data = data
        self._source_node = "" if source_node is None else str(source_node)
        self._target_node = "" if target_node is None else str(target_node)
        self._metadata = {} if metadata is None else own_dict(metadata)
        self._reply_to = reply_to
        self._content_type = ""
        self.env.timestamp = time.time_ns() // 1_000_000 if timestamp is None else timestamp
        self.env.depth = depth
        self.env.priority = priority
        self.changed = True
        self.set_ttl(ttl)
        if id:
            self.set_id(id)

    cdef StreamEvent adopt(self, const Envelope* env, Decoder decoder):
        self.raw = keep(&self.env, env, decoder)
        self._data = UNREAD
        return self

    cdef int detach(self) except -1:
        """Reads every field, then lets the message go: from now on the attributes are the event."""
        if self.raw is not None:
            self.read_all()
            self.changed = True
            self.raw = None
        return 0

    cdef int read_all(self) except -1:
        if self.raw is not None:
            self.event_type, self.source_node, self.target_node  # noqa: B018
            self.data, self.metadata, self.reply_to, self.content_type  # noqa: B018
        return 0

    cdef int fill(self, Envelope* env, Fields fields) except -1:
        """Describes the event to a writer: the message as it came, or the attributes if any may have changed."""
        if self.raw is not None and not self.changed:
            env[0] = self.env
            return 0
        self.read_all()
        describe(env, fields, self._event_type, self._data, self._metadata, self._source_node, self._target_node,
                 self.env.timestamp, self.env.epoch, self.env.seq, self.env.depth, None, self.env.priority,
                 self._reply_to)
        env.ttl_ms, env.has = self.env.ttl_ms, self.env.has & HAS_TTL
        return 0

    @property
    def event_type(self):
        """The subject, as plain str."""
        if self._event_type is None:
            self._event_type = name_at(self.env.event_type)
        return self._event_type

    @event_type.setter
    def event_type(self, value):
        self._event_type = str(value)
        self.changed = True

    @property
    def source_node(self):
        """Who caused the event."""
        if self._source_node is None:
            self._source_node = name_at(self.env.source_node)
        return self._source_node

    @source_node.setter
    def source_node(self, value):
        self._source_node = str(value)
        self.changed = True

    @property
    def target_node(self):
        """The one node it is for; empty for everyone who subscribes."""
        if self._target_node is None:
            self._target_node = name_at(self.env.target_node)
        return self._target_node

    @target_node.setter
    def target_node(self, value):
        self._target_node = str(value)
        self.changed = True

    @property
    def data(self):
        """The payload: a JSON value, str for text, bytes for anything else, None for nothing."""
        if self._data is UNREAD:
            self._data = self.read_data()
            if type(self._data) is dict or type(self._data) is list:
                self.changed = True     # the caller may change it in place
        return self._data

    @data.setter
    def data(self, value):
        if self._content_type is None or self._content_type:
            self._content_type = ""
        self._data = value
        self.changed = True

    cdef object read_data(self):
        cdef bytes payload
        if self.env.payload_kind == NO_PAYLOAD and not is_binary(&self.env):
            return None
        if is_json_data(&self.env):
            value = load(self.env.payload)
            if value is not LEFT:
                return value
        payload = PyBytes_FromStringAndSize(<const char*>self.env.payload.ptr, self.env.payload.len)
        if is_binary(&self.env):
            return payload
        return loads(payload) if is_json_data(&self.env) else payload.decode()

    @property
    def metadata(self):
        """Metadata as a dict of the event's own."""
        cdef Py_ssize_t i
        cdef dict pairs
        if self._metadata is None:
            pairs = {}
            for i in range(self.env.metadata_count):
                pairs[name_at(self.env.metadata[i].key)] = text_at(self.env.metadata[i].value)
            self._metadata = pairs
            self.changed = True         # the caller may change it in place
        return self._metadata

    @metadata.setter
    def metadata(self, value):
        self._metadata = own_dict(value)
        self.changed = True

    @property
    def reply_to(self):
        """Id of the request that this answers, or empty."""
        if self._reply_to is None:
            self._reply_to = text_at(self.env.reply_to)
        return self._reply_to

    @reply_to.setter
    def reply_to(self, value):
        self._reply_to = str(value)
        self.changed = True

    @property
    def content_type(self):
        """The payload's declared media type; empty when it speaks for itself."""
        if self._content_type is None:
            self._content_type = name_at(self.env.content_type)
        return self._content_type

    @property
    def timestamp(self):
        """Milliseconds since 1970-01-01 UTC."""
        return self.env.timestamp

    @timestamp.setter
    def timestamp(self, value):
        self.env.timestamp = value
        self.changed = True

    @property
    def depth(self):
        """Causation and forwarding hops since its origin."""
        return self.env.depth

    @depth.setter
    def depth(self, value):
        self.env.depth = value
        self.changed = True

    @property
    def priority(self):
        """Larger is more urgent; 0 is normal."""
        return self.env.priority

    @priority.setter
    def priority(self, value):
        self.env.priority = value
        self.changed = True

    @property
    def ttl(self):
        """Milliseconds after timestamp until it expires; None for never."""
        return self.env.ttl_ms if self.env.has & HAS_TTL else None

    @ttl.setter
    def ttl(self, value):
        self.set_ttl(value)
        self.changed = True

    cdef int set_ttl(self, object value) except -1:
        if value is None:
            self.env.has &= ~<unsigned int>HAS_TTL
        else:
            self.env.ttl_ms = value
            self.env.has |= HAS_TTL
        return 0

    @property
    def id(self):
        """`source:epoch:seq`, or empty while no node has stamped it."""
        cdef str source = self._source_node if self._source_node is not None else self.source_node
        if not source or not (self.env.epoch or self.env.seq):
            return ""
        return printed_id(source, self.env.epoch, self.env.seq)

    @id.setter
    def id(self, str value):
        self.set_id(value)

    cdef int set_id(self, str value) except -1:
        cdef Span source
        cdef uint64_t epoch = 0
        cdef uint64_t seq = 0
        cdef Span text
        set_text(&text, value, "id")
        if not parse_id(text, &source, &epoch, &seq):
            raise malformed(BAD_ID, 0)
        cdef str name = name_at(source)
        if self._source_node is None:
            self._source_node = name_at(self.env.source_node)
        if self._source_node and name != self._source_node:
            raise malformed(BAD_ID, 0)
        self._source_node = name
        self.env.epoch, self.env.seq = epoch, seq
        self.changed = True
        return 0

    def to_proto(self):
        """The event as one protobuf EventMessage.

        Returns:
            Its bytes.

        Raises:
            TypeError: if data is not JSON-able, str or bytes, or a name or metadata is not str.
            MalformedError: if the subject or a name is not what it may be, or data holds NaN or infinity.
        """
        return self.written(PROTO)

    def to_json(self):
        """The event as one JSON object.

        Returns:
            Its bytes, UTF-8. Bytes as data appear as `{"$base64": "…"}`.

        Raises:
            TypeError: if data is not JSON-able, str or bytes, or a name or metadata is not str.
            MalformedError: if the subject or a name is not what it may be, or data holds NaN or infinity.
        """
        return self.written(JSON)

    cdef bytes written(self, Format format):
        cdef Envelope env
        cdef Fields fields = Fields.__new__(Fields)
        cdef Status status
        self.fill(&env, fields)
        status = check_names(&env)
        if status != OK:
            raise malformed(status, 0)
        if encoded.capacity > MOST_KEPT:
            release(&encoded)
        encoded.len = 0
        if not (emit_proto(&env, &encoded) if format == PROTO else emit_json(&env, &encoded)):
            raise MemoryError
        return PyBytes_FromStringAndSize(<const char*>encoded.ptr, encoded.len)

    @classmethod
    def from_proto(cls, bytes message not None):
        """The event of one protobuf EventMessage.

        Args:
            message: the serialised EventMessage.

        Returns:
            A lazily decoded event with a copy of the message.

        Raises:
            MalformedError: with the reason and the byte where it showed.
        """
        return parse(cls, message, PROTO)

    @classmethod
    def from_json(cls, bytes message not None):
        """The event of one JSON object.

        Args:
            message: UTF-8 text.

        Returns:
            A lazily decoded event with a copy of the message.

        Raises:
            MalformedError: with the reason and the byte where it showed.
        """
        return parse(cls, message, JSON)

    def _identity(self):
        return (self.event_type, self.data, self.source_node, self.target_node, self.metadata, self.timestamp,
                self.env.epoch, self.env.seq, self.depth, self.ttl, self.priority, self.reply_to)

    def __eq__(self, other):
        if not isinstance(other, StreamEvent):
            return NotImplemented
        return self._identity() == (<StreamEvent>other)._identity()

    __hash__ = None

    def __reduce__(self):
        return type(self).from_proto, (self.to_proto(),)

    def __repr__(self):
        return (f"{type(self).__name__}({self.event_type!r}, source_node={self.source_node!r}, "
                f"target_node={self.target_node!r}, id={self.id!r}, depth={self.depth})")


cdef object parse(object cls, bytes message, Format format):
    cdef Envelope env
    cdef Py_ssize_t at = 0
    cdef Status status = shared_decoder.decode(bytes_span(message), format, &env, &at)
    if status != OK:
        raise malformed(status, at)
    event = StreamEvent.__new__(StreamEvent) if cls is StreamEvent else cls.__new__(cls)
    return (<StreamEvent>event).adopt(&env, shared_decoder)
