"""Writes an Envelope in either wire format.

A field that is set in the Envelope but whose bit is not in `has` is a stamp: it was not on the wire and is added.
When the target format is the one the message came in, its bytes are copied and only the stamps are spliced in.
"""

from libc.stdint cimport uint8_t, uint64_t

from lexmesh._buffer cimport Buffer
from lexmesh._envelope cimport Envelope
from lexmesh._span cimport Span


cdef bint emit_proto(const Envelope* env, Buffer* out) noexcept nogil
cdef bint emit_json(const Envelope* env, Buffer* out) noexcept nogil
cdef bint is_binary(const Envelope* env) noexcept nogil
cdef bint is_json_data(const Envelope* env) noexcept nogil
cdef uint8_t* put_decimal(uint8_t* at, uint64_t value) noexcept nogil
