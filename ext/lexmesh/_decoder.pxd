"""The decoder of messages."""

from lexmesh._envelope cimport Envelope, Format, Scratch
from lexmesh._span cimport Span, Status


cdef class Decoder(Scratch):
    """Finds the fields of one message at a time; owns the scratch that an Envelope may point into."""

    cdef Status decode(self, Span raw, Format format, Envelope* env, Py_ssize_t* error_at) noexcept nogil
    cdef inline Status _known_names(self, Envelope* env) noexcept nogil
