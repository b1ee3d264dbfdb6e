"""Decodes one JSON message."""

from libc.stdint cimport uint8_t

from lexmesh._envelope cimport Envelope, Scratch
from lexmesh._span cimport Status


cdef Status decode_json(Scratch scratch, Envelope* env, const uint8_t** cursor) noexcept nogil
