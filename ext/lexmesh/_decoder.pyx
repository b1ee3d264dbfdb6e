"""Decodes one message, JSON or protobuf, into an Envelope of spans, without making a Python object."""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from lexmesh._decode_json cimport decode_json
from lexmesh._decode_proto cimport decode_proto
from lexmesh._envelope cimport JSON, MAX_PREFIX, Envelope, Format, Scratch, check_lengths, check_names, clear
from lexmesh._span cimport OK, Span, Status, same_name, span


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
        return self._known_names(env)

    cdef inline Status _known_names(self, Envelope* env) noexcept nogil:
        """check_names, which need not read again a subject that the last message had."""
        cdef Status status
        if self.subject_len and same_name(env.event_type, span(self.subject, self.subject_len)):
            return check_lengths(env)
        status = check_names(env)
        if status == OK and env.event_type.len <= MAX_PREFIX:
            memcpy(self.subject, env.event_type.ptr, <size_t>env.event_type.len)
            self.subject_len = env.event_type.len
        return status
