"""StreamEvent and StreamData: one message as Python sees it."""

from lexmesh._decoder cimport Decoder
from lexmesh._envelope cimport Envelope, Format
from lexmesh._fields cimport Fields


cdef class StreamEvent:
    cdef Envelope env           # spans point into `raw`
    cdef bytes raw              # the message, then what the decoder unescaped, then the metadata pairs; None: built
    cdef object _event_type, _source_node, _target_node, _data, _metadata, _reply_to, _content_type
    cdef bint changed           # a field was set or a mutable one was handed out: `raw` may no longer tell the truth

    cdef StreamEvent adopt(self, const Envelope* env, Decoder decoder)
    cdef int read_all(self) except -1
    cdef int fill(self, Envelope* env, Fields fields) except -1
    cdef object read_data(self)
    cdef int set_ttl(self, object value) except -1
    cdef int set_id(self, str value) except -1
    cdef bytes written(self, Format format)
    cdef int detach(self) except -1


cdef StreamEvent event_from(const Envelope* env, Decoder decoder)
