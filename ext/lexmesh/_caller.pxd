"""What a node says in calls that are answered one by one."""

from lexmesh._router cimport Subject
from lexmesh._sender cimport Sender


cdef class Caller(Sender):
    cdef bytes message          # what was policed last

    cdef bytes _taken(self)
