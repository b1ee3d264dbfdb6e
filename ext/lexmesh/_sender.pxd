"""What this node itself says to one peer, checked before it leaves."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from lexmesh._backlog cimport Backlog
from lexmesh._envelope cimport Envelope, Format
from lexmesh._pipeline cimport Core
from lexmesh._router cimport Subject
from lexmesh._span cimport Span


cdef class Sender(Backlog):
    cdef Core core
    cdef readonly Format format
    cdef bytes id_prefix        # of all ids of this node's events
    cdef bint id_is_ascii

    cdef int check_ready(self) except -1                                    # for a link to override
    cdef int queue_own(self, Span message, Subject* subject) except -1      # and this
    cdef int encode(self, Envelope* env) except -1
    cdef str say(self, event_type, data, metadata, target_node, int64_t now, ttl, uint32_t priority, reply_to,
                 uint32_t depth)
    cdef str say_json(self, event_type, bytes line, metadata, int64_t now)
    cdef str _publish(self, Envelope* env)
    cdef str _id(self, uint64_t seq)
    cdef int _check_json(self, Span text) except -1
    cdef int _police_own(self, Envelope* env, Subject* subject) except -1
