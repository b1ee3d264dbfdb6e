"""Python values as an Envelope."""

from math import isfinite

import orjson

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport uint8_t
from libc.string cimport memset

from lexmesh._buffer cimport Buffer
from lexmesh._emit cimport emit_proto
from lexmesh._envelope cimport HAS_TTL, JSON_VALUE, OPAQUE_BYTES, Envelope, Pair
from lexmesh._span cimport BAD_NUMBER, Span, span
from lexmesh._status cimport malformed

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef object dumps = orjson.dumps


cdef bint has_nan(object value) except *:
    """Whether a value holds a float that JSON cannot say."""
    if isinstance(value, float):
        return not isfinite(value)
    if isinstance(value, dict):
        return any(has_nan(item) for item in value.values())
    return isinstance(value, (list, tuple)) and any(has_nan(item) for item in value)


cdef class Fields:
    def __cinit__(self):
        self.held = []

    def __dealloc__(self):
        PyMem_RawFree(self.pairs)

    cdef Span text(self, object value, str name) except *:
        cdef Py_ssize_t length = 0
        cdef const char* ptr
        if value is None:
            return span(NULL, 0)
        if not isinstance(value, str):
            raise TypeError(f"{name} must be str, not {type(value).__name__}")
        self.held.append(value)
        ptr = PyUnicode_AsUTF8AndSize(value, &length)
        return span(<const uint8_t*>ptr, length)

    cdef int metadata(self, Envelope* env, object value) except -1:
        cdef Py_ssize_t i = 0
        if not value:
            return 0
        items = list(value.items())     # once: a mapping may tell another length than it yields
        self.pairs = <Pair*>PyMem_RawMalloc((len(items) + 1) * sizeof(Pair))
        if self.pairs == NULL:
            raise MemoryError
        for key, text in items:
            self.pairs[i].key = self.text(key, "a metadata key")
            self.pairs[i].value = self.text(text, "a metadata value")
            i += 1
        env.metadata = self.pairs
        env.metadata_count = i
        return 0

    cdef int payload(self, Envelope* env, object data) except -1:
        """JSON for what is JSON-able, str included; bytes as they are, declared as such."""
        if data is None:
            return 0
        if isinstance(data, (bytes, bytearray, memoryview)):
            data = bytes(data)
            env.payload_kind = OPAQUE_BYTES
            env.content_type = span(<const uint8_t*>"application/octet-stream", 24)
        else:
            value = data
            try:
                data = dumps(value)
            except TypeError as error:
                raise TypeError(f"data is neither JSON-able, str nor bytes: {error}") from None
            if b"null" in data and has_nan(value):      # orjson writes null for NaN
                raise malformed(BAD_NUMBER, 0)
            env.payload_kind = JSON_VALUE
        self.held.append(data)
        env.payload = span(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        return 0


cdef int describe(Envelope* env, Fields fields, object event_type, object data, object metadata, object source_node,
                  object target_node, long long timestamp, unsigned long long epoch, unsigned long long seq,
                  unsigned int depth, object ttl, unsigned int priority, object reply_to) except -1:
    """Makes an Envelope of Python values, good while `fields` and the values live."""
    memset(env, 0, sizeof(Envelope))
    env.rewrite = True      # there is nothing to splice
    env.event_type = fields.text(event_type, "event_type")
    env.source_node = fields.text(source_node, "source_node")
    env.target_node = fields.text(target_node, "target_node")
    env.reply_to = fields.text(reply_to, "reply_to")
    fields.metadata(env, metadata)
    fields.payload(env, data)
    env.timestamp, env.epoch, env.seq, env.depth, env.priority = timestamp, epoch, seq, depth, priority
    if ttl is not None:
        env.ttl_ms = ttl
        env.has = HAS_TTL
    return 0


cdef int encode_fields(Buffer* out, object event_type, object data, object metadata, object source_node,
                       object target_node, long long timestamp, unsigned long long epoch, unsigned long long seq,
                       unsigned int depth, object ttl, unsigned int priority, object reply_to) except -1:
    """Appends the EventMessage of these fields; the decoder judges it afterwards, like any other."""
    cdef Envelope env
    cdef Fields fields = Fields()
    describe(&env, fields, event_type, data, metadata, source_node, target_node, timestamp, epoch, seq, depth, ttl,
             priority, reply_to)
    if not emit_proto(&env, out):
        raise MemoryError
    return 0
