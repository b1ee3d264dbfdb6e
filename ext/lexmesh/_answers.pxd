"""The messages that answer a call, as protobuf."""

from libc.stdint cimport int64_t

from lexmesh._span cimport Span


cdef bytes event_response(bint success, Span message, int64_t timestamp)
cdef bytes data_response(bint success, Span message, Span response_id, int64_t timestamp)
