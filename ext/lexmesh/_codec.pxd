"""StreamEvent and StreamData, and Python values to and from an Envelope."""

from lexmesh._buffer cimport Buffer
from lexmesh._envelope cimport Decoder, Envelope, Format, Pair
from lexmesh._span cimport Span, Status


cdef class StreamEvent:
    cdef Envelope env           # spans point into `raw`
    cdef bytes raw              # the message, then what the decoder unescaped, then the metadata pairs; None: built
    cdef object _event_type, _source_node, _target_node, _data, _metadata, _reply_to, _content_type
    cdef bint changed           # a field was set or a mutable one was handed out: `raw` may no longer tell the truth

    cdef StreamEvent adopt(self, const Envelope* env, Decoder decoder)
    cdef int fill(self, Envelope* env, Fields fields) except -1
    cdef int detach(self) except -1


cdef class Fields:
    """Keeps alive what the spans of an Envelope made from Python values point into."""

    cdef list held
    cdef Pair* pairs
    cdef Span text(self, object value, str name) except *
    cdef int metadata(self, Envelope* env, object value) except -1
    cdef int payload(self, Envelope* env, object data) except -1


cdef StreamEvent event_from(const Envelope* env, Decoder decoder)
cdef Status next_in_batch(Span batch, Py_ssize_t* at, Span* event) noexcept nogil
cdef object malformed(Status status, Py_ssize_t at)
cdef str reason_of(Status status)
cdef int encode_fields(Buffer* out, object event_type, object data, object metadata, object source_node,
                       object target_node, long long timestamp, unsigned long long epoch, unsigned long long seq,
                       unsigned int depth, object ttl, unsigned int priority, object reply_to) except -1
cdef int describe(Envelope* env, Fields fields, object event_type, object data, object metadata, object source_node,
                  object target_node, long long timestamp, unsigned long long epoch, unsigned long long seq,
                  unsigned int depth, object ttl, unsigned int priority, object reply_to) except -1
