"""Python values as JSON text, written where it is wanted."""

from lexmesh._buffer cimport Buffer


cdef bint dump(Buffer* out, object value) except -1
