"""What this node itself says to one peer, checked before it leaves."""

from libc.stdint cimport int64_t, uint32_t

from lexmesh._backlog cimport Backlog
from lexmesh._envelope cimport Envelope, Format
from lexmesh._pipeline cimport Core
from lexmesh._router cimport Subject
from lexmesh._span cimport Span


cdef class Sender(Backlog):
    cdef Core core
    cdef readonly Format format
    cdef object last_type       # the event type published last, a str
    cdef Span last_name         # its UTF-8
    cdef Subject* last_subject  # its entry, NULL while it has not been found to be a subject

    cdef int check_ready(self) except -1                                    # for a link to override
    cdef int queue_own(self, Span message, Subject* subject) except -1      # and this
    cdef int encode(self, Envelope* env) except -1
    cdef str say(self, event_type, data, metadata, target_node, int64_t now, ttl, uint32_t priority, reply_to,
                 uint32_t depth)
    cdef str say_json(self, event_type, bytes line, metadata, int64_t now)
    cdef int _begin(self, Envelope* env, event_type, int64_t now) except -1
    cdef str _publish(self, Envelope* env)
    cdef inline int _count_own(self, Subject* subject) except -1
    cdef Subject* _subject(self, const Envelope* env) except NULL
    cdef int _check_json(self, Span text) except -1
    cdef int _police_own(self, Envelope* env, Subject* subject) except -1
