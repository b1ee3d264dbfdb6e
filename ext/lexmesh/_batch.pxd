"""Walking a protobuf Batch."""

from lexmesh._span cimport Span, Status


cdef Status next_in_batch(Span batch, Py_ssize_t* at, Span* event) noexcept nogil
