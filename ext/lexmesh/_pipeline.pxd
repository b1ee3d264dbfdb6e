"""The compiled heart of a node: what it takes in, what it publishes itself, and its ledger."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from lexmesh._envelope cimport Envelope, Format
from lexmesh._intake cimport Intake
from lexmesh._ledger cimport UNDECIDED, Ingress
from lexmesh._reader cimport ReadBuffer
from lexmesh._router cimport Subject
from lexmesh._span cimport Span


cdef class Core(Intake):
    cdef ReadBuffer read_buffer     # of all its links: one thread reads them, one after the other
    cdef uint64_t told_here         # numbers what goes to no other node

    cdef Py_ssize_t _kept(self, Py_ssize_t most) noexcept
    cdef int check_thread(self) except -1
    cdef Subject* decode_own(self, Span message, Format format, Envelope* env) except NULL
    cdef Subject* subject_of_own(self, const Envelope* env) except NULL
    cdef bint allows_own(self, Envelope* env, Subject* subject) except *
    cdef Ingress _route_here(self, Envelope* env, Subject* subject) except? UNDECIDED
    cdef list _here(self, list route)
    cdef Ingress _own(self, Span message, int64_t now, uint32_t depth) except *
