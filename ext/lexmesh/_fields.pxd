"""Makes Envelopes of Python values."""

from lexmesh._buffer cimport Buffer
from lexmesh._envelope cimport Envelope, Pair
from lexmesh._span cimport Span


cdef class Fields:
    """Keeps alive what the spans of an Envelope made from Python values point into."""

    cdef list held
    cdef Pair* pairs
    cdef Span text(self, object value, str name) except *
    cdef int metadata(self, Envelope* env, object value) except -1
    cdef int payload(self, Envelope* env, object data) except -1


cdef int encode_fields(Buffer* out, object event_type, object data, object metadata, object source_node,
                       object target_node, long long timestamp, unsigned long long epoch, unsigned long long seq,
                       unsigned int depth, object ttl, unsigned int priority, object reply_to) except -1
cdef int describe(Envelope* env, Fields fields, object event_type, object data, object metadata, object source_node,
                  object target_node, long long timestamp, unsigned long long epoch, unsigned long long seq,
                  unsigned int depth, object ttl, unsigned int priority, object reply_to) except -1
