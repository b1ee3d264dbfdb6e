"""Messages that are handed to one handler each, as work that is kept elsewhere until it is done."""

from lexmesh._ledger cimport Ingress
from lexmesh._pipeline cimport Core
from lexmesh._router cimport Endpoint, Subject


cdef class WorkSource(Endpoint):
    """Where work comes from."""

    cdef Core core
    cdef readonly object owner      # has remote_address, for the audit

    cdef int _count(self, Subject* subject, Ingress outcome) except -1
