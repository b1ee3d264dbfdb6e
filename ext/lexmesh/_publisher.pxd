"""The publishing half of a client."""

from libc.stdint cimport uint64_t

from lexmesh._sender cimport Sender


cdef class Publisher:
    cdef Sender sender          # where events go now
    cdef readonly uint64_t sent
