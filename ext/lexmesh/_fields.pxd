"""Makes Envelopes of Python values."""

from libc.stdint cimport uint8_t

from lexmesh._buffer cimport Buffer
from lexmesh._envelope cimport Envelope, Pair
from lexmesh._span cimport Span

cdef extern from "Python.h":
    bint PyUnicode_CheckExact(object value) noexcept
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    const void* PyUnicode_DATA(object text) noexcept

cdef enum:
    FEW_PAIRS = 8       # pairs kept without memory of their own


cdef class Fields:
    """Keeps alive what the spans of an Envelope made from Python values point into, where no caller does."""

    cdef dict read              # a mapping that is no dict
    cdef bytes dumped           # a payload that is no plain data
    cdef Pair few[FEW_PAIRS]
    cdef Pair* pairs            # where there are more
    cdef dict mapping(self, object value)
    cdef int metadata(self, Envelope* env, dict texts) except -1
    cdef int payload(self, Envelope* env, object data) except -1


cdef int other_text(Span* text, object value, str name) except -1


cdef inline int set_text(Span* text, object value, str name) except -1:
    """Sets a text as the interpreter keeps it, good while the str lives."""
    if PyUnicode_CheckExact(value) and PyUnicode_IS_COMPACT_ASCII(value):
        text.ptr = <const uint8_t*>PyUnicode_DATA(value)
        text.len = PyUnicode_GET_LENGTH(value)
        return 0
    return other_text(text, value, name)


cdef bint plain_payload(Envelope* env, object data) except -1
cdef int encode_fields(Buffer* out, object event_type, object data, object metadata, object source_node,
                       object target_node, long long timestamp, unsigned long long epoch, unsigned long long seq,
                       unsigned int depth, object ttl, unsigned int priority, object reply_to) except -1
cdef int describe(Envelope* env, Fields fields, object event_type, object data, object metadata, object source_node,
                  object target_node, long long timestamp, unsigned long long epoch, unsigned long long seq,
                  unsigned int depth, object ttl, unsigned int priority, object reply_to) except -1
