"""Queue groups: of all members over the whole mesh one gets each message."""

from libc.stdint cimport uint64_t

from lexmesh._envelope cimport Envelope
from lexmesh._router cimport Endpoint


cdef struct Share:
    uint64_t key            # of a node's name and the group's
    double members          # that the node has


cdef class Group(Endpoint):
    cdef list members       # Endpoints of this node, in turn
    cdef Py_ssize_t turn
    cdef Share* shares      # of all nodes with members; owned
    cdef Py_ssize_t share_count
    cdef Py_ssize_t own     # which of them is this node; -1 if none is

    cdef Endpoint elect(self, const Envelope* env, Endpoint source, list route, uint64_t message)
    cdef Endpoint next_handler(self)
    cdef Endpoint _next(self, bint only_handlers)
    cdef bint is_ours(self, const Envelope* env) noexcept nogil
