"""What this node itself says to one peer, checked before it leaves."""

from lexmesh._backlog cimport Backlog
from lexmesh._envelope cimport Envelope, Format
from lexmesh._pipeline cimport Core
from lexmesh._router cimport Subject
from lexmesh._span cimport Span


cdef class Sender(Backlog):
    cdef Core core
    cdef readonly Format format

    cdef int check_ready(self) except -1                                    # for a link to override
    cdef int queue_own(self, Span message, Subject* subject) except -1      # and this
    cdef int encode(self, Envelope* env) except -1
    cdef int _publish(self, Envelope* env) except -1
    cdef int _check_json(self, Span text) except -1
    cdef int _police_own(self, Envelope* env, Subject* subject) except -1
