"""Makes Envelopes of Python values."""

from cpython.object cimport PyObject

from lexmesh._buffer cimport Buffer
from lexmesh._envelope cimport Envelope, Pair
from lexmesh._span cimport Span

cdef enum:
    FEW_HELD = 24       # objects kept without a list: the names, the data and ten pairs of metadata
    FEW_PAIRS = 8       # pairs kept without memory of their own


cdef class Fields:
    """Keeps alive what the spans of an Envelope made from Python values point into."""

    cdef PyObject* held[FEW_HELD]       # each with a reference of its own
    cdef int held_count
    cdef list more                      # what does not fit there
    cdef Pair few[FEW_PAIRS]
    cdef Pair* pairs                    # where there are more
    cdef int hold(self, object value) except -1
    cdef Span text(self, object value, str name) except *
    cdef int metadata(self, Envelope* env, object value) except -1
    cdef int payload(self, Envelope* env, object data) except -1


cdef Span text_of(object value, str name) except *
cdef bint plain_payload(Envelope* env, object data) except -1
cdef int encode_fields(Buffer* out, object event_type, object data, object metadata, object source_node,
                       object target_node, long long timestamp, unsigned long long epoch, unsigned long long seq,
                       unsigned int depth, object ttl, unsigned int priority, object reply_to) except -1
cdef int describe(Envelope* env, Fields fields, object event_type, object data, object metadata, object source_node,
                  object target_node, long long timestamp, unsigned long long epoch, unsigned long long seq,
                  unsigned int depth, object ttl, unsigned int priority, object reply_to) except -1
