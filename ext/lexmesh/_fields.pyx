"""Python values as an Envelope."""

from math import isfinite

import orjson

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t

from lexmesh._buffer cimport Buffer, release
from lexmesh._dump cimport dump
from lexmesh._emit cimport emit_proto
from lexmesh._envelope cimport HAS_TTL, JSON_VALUE, OPAQUE_BYTES, Envelope, Pair, clear
from lexmesh._span cimport BAD_NUMBER, Span, span
from lexmesh._status cimport malformed

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    bint PyDict_Next(object mapping, Py_ssize_t* at, PyObject** key, PyObject** value) noexcept

cdef enum:
    MOST_KEPT = 1048576     # bytes of `written` that are kept for the next payload

cdef object dumps = orjson.dumps
cdef Buffer written         # the payload that was described last, until the next one


cdef bint has_nan(object value) except *:
    """Whether a value holds a float that JSON cannot say."""
    if isinstance(value, float):
        return not isfinite(value)
    if isinstance(value, dict):
        return any(has_nan(item) for item in value.values())
    return isinstance(value, (list, tuple)) and any(has_nan(item) for item in value)


cdef int other_text(Span* text, object value, str name) except -1:
    """set_text for what is not ASCII, or no str."""
    if value is None:
        text[0] = span(NULL, 0)
        return 0
    if not isinstance(value, str):
        raise TypeError(f"{name} must be str, not {type(value).__name__}")
    text.ptr = <const uint8_t*>PyUnicode_AsUTF8AndSize(value, &text.len)
    return 0


cdef bint plain_payload(Envelope* env, object data) except -1:
    """Sets a payload of plain data, good until the next one; False for data that is not plain.

    Such a payload is strict JSON by construction and needs no walk.
    """
    if written.capacity > MOST_KEPT:
        release(&written)
    written.len = 0
    if not dump(&written, data):
        return False
    env.payload_kind = JSON_VALUE
    env.payload = span(written.ptr, written.len)
    return True


@cython.freelist(8)
@cython.no_gc
cdef class Fields:
    def __dealloc__(self):
        if self.pairs != NULL:
            PyMem_RawFree(self.pairs)

    cdef dict mapping(self, object value):
        """Metadata as a dict, None if there is none. What is no dict is read once: it may tell another length later."""
        if not value:
            return None
        if type(value) is not dict:
            self.read = value = dict(list(value.items()))
        return value

    cdef int metadata(self, Envelope* env, dict texts) except -1:
        """Describes metadata, good until Python code runs again, which may change the dict."""
        cdef Py_ssize_t i = 0
        cdef Py_ssize_t at = 0
        cdef PyObject* key
        cdef PyObject* text
        if len(texts) > FEW_PAIRS:
            self.pairs = <Pair*>PyMem_RawMalloc(<size_t>len(texts) * sizeof(Pair))
            if self.pairs == NULL:
                raise MemoryError
        env.metadata = self.pairs if self.pairs != NULL else self.few
        while PyDict_Next(texts, &at, &key, &text):     # runs no Python code: the dict stays as it is
            set_text(&env.metadata[i].key, <object>key, "a metadata key")
            set_text(&env.metadata[i].value, <object>text, "a metadata value")
            i += 1
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
            if plain_payload(env, data):
                return 0
            env.payload_kind = JSON_VALUE
            data = dumped_by_orjson(data)
        self.dumped = data
        env.payload = span(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        return 0


cdef bytes dumped_by_orjson(object value):
    cdef bytes text
    try:
        text = dumps(value)
    except TypeError as error:
        raise TypeError(f"data is neither JSON-able, str nor bytes: {error}") from None
    if b"null" in text and has_nan(value):      # orjson writes null for NaN
        raise malformed(BAD_NUMBER, 0)
    return text


cdef int describe(Envelope* env, Fields fields, object event_type, object data, object metadata, object source_node,
                  object target_node, long long timestamp, unsigned long long epoch, unsigned long long seq,
                  unsigned int depth, object ttl, unsigned int priority, object reply_to) except -1:
    """Makes an Envelope of Python values, good while `fields` and the values live, and until Python code runs again.

    Only reading a mapping and dumping data run any, so they come first.
    """
    cdef dict texts = fields.mapping(metadata)
    clear(env)
    env.rewrite = True      # there is nothing to splice
    fields.payload(env, data)
    if texts is not None:
        fields.metadata(env, texts)
    set_text(&env.event_type, event_type, "event_type")
    set_text(&env.source_node, source_node, "source_node")
    set_text(&env.target_node, target_node, "target_node")
    set_text(&env.reply_to, reply_to, "reply_to")
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
    cdef Fields fields = Fields.__new__(Fields)
    describe(&env, fields, event_type, data, metadata, source_node, target_node, timestamp, epoch, seq, depth, ttl,
             priority, reply_to)
    if not emit_proto(&env, out):
        raise MemoryError
    return 0
