"""Statuses as text and as exceptions."""

from lexmesh._span cimport Status


cdef object malformed(Status status, Py_ssize_t at)
cdef str reason_of(Status status)
