"""What the policy says of messages, recorded and counted."""

from libc.stdint cimport int64_t

from lexmesh._envelope cimport Envelope
from lexmesh._ledger cimport UNDECIDED, Ingress
from lexmesh._nsr cimport Scanner, Verdict
from lexmesh._router cimport Endpoint, Router, Subject
from lexmesh._span cimport Status


cdef class Police:
    """Asks the policy, and keeps account of what it refused."""

    cdef readonly Router router
    cdef readonly Scanner scanner
    cdef Verdict verdict
    cdef dict denials                   # rule: count
    cdef dict flags                     # rule: count of messages that passed flagged
    cdef int64_t now                    # the time last told, milliseconds
    cdef public object auditor          # callable(now, source, id, node, subject, rule, path, denied, depth), or None

    cdef Ingress _count(self, Ingress outcome, Subject* subject, Endpoint source) noexcept nogil
    cdef Ingress _malformed(self, Status status, Py_ssize_t at, Endpoint source) except? UNDECIDED
    cdef Ingress refuse(self, str reason, Endpoint source) except? UNDECIDED
    cdef bint _police(self, Envelope* env, Subject* subject, Endpoint source) except -1
    cdef int _deny(self, Envelope* env, Subject* subject, Endpoint source) except -1
    cdef int _flag(self, Envelope* env, Subject* subject, Endpoint source) except -1
    cdef int _record(self, const Envelope* env, Endpoint source, str rule, str path, bint denied) except -1
