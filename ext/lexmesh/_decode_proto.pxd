"""Decodes one protobuf message."""

from libc.stdint cimport uint8_t

from lexmesh._envelope cimport Envelope, Scratch
from lexmesh._span cimport Span, Status


cdef Status decode_proto(Scratch scratch, Envelope* env, const uint8_t** cursor) noexcept nogil
cdef Status classify_payload(Scratch scratch, Envelope* env) noexcept nogil
cdef Status skip_value(int wire_type, const uint8_t** cursor, const uint8_t* end, Span* value) noexcept nogil
