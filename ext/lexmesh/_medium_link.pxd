"""One of several ways to a medium, on which what is said in one place must not overtake what is said in another."""

from lexmesh._stream_link cimport StreamLink

cdef enum:
    ROUND = 512     # messages; a receiver's window of duplicates spans twice as many


cdef class MediumLink(StreamLink):
    pass
