"""Decodes one message, JSON or protobuf, into an Envelope of spans, without making a Python object."""

from libc.stdint cimport uint8_t

from lexmesh._decode_json cimport decode_json
from lexmesh._decode_proto cimport decode_proto
from lexmesh._envelope cimport JSON, Envelope, Format, Scratch, check_names, clear
from lexmesh._span cimport OK, Span, Status


cdef class Decoder(Scratch):
    cdef Status decode(self, Span raw, Format format, Envelope* env, Py_ssize_t* error_at) noexcept nogil:
        """Finds every field of `raw`, which must outlive `env`; on failure sets the byte where it showed."""
        cdef const uint8_t* cursor = raw.ptr
        cdef Status status
        clear(env)
        env.raw = raw
        env.format = format
        env.metadata = self.pairs
        self.scratch_len = 0
        self.walker.key_count = 0
        status = decode_json(self, env, &cursor) if format == JSON else decode_proto(self, env, &cursor)
        error_at[0] = cursor - raw.ptr
        env.metadata = self.pairs
        if status != OK:
            return status
        return check_names(env)
