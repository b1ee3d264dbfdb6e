"""JSON text as Python values, read where it stands."""

from lexmesh._span cimport Span


cdef object LEFT    # what load returns for a text that it leaves to orjson


cdef object load(Span text)
