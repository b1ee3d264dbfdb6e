"""Texts of messages as str."""

from lexmesh._span cimport Span


cdef str text_at(Span text)
cdef str name_at(Span name)
