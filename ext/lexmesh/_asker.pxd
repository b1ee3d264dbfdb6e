"""Clients whose every message is answered."""

from libc.stdint cimport int64_t

from lexmesh._envelope cimport Envelope
from lexmesh._ledger cimport Ingress
from lexmesh._pipeline cimport Core
from lexmesh._router cimport Endpoint


cdef class Answer:
    cdef Asker asker
    cdef int waits              # async filters and handlers that still run
    cdef Ingress outcome        # UNDECIDED while filters hold the message
    cdef str fault              # why it was refused; None: it was not
    cdef list texts             # what handlers answered, as JSON
    cdef list events            # of which `asker` knows by identity: kept, so that no other gets their address
    cdef object id              # bytes, for a reading; None for an event
    cdef bint returned          # to the caller, who waits for it to be done
    cdef bint abandoned         # nobody reads it any more
    cdef object on_done

    cdef bytes message(self, int64_t now)
    cdef int finish(self) except -1


cdef class Asker(Endpoint):
    cdef Core core
    cdef readonly object owner
    cdef str fault              # of the message being taken in
    cdef Answer current         # of that message, once it needs one
    cdef dict waiting           # id(event): the Answer that waits for what runs on it

    cdef object take(self, bytes message, bint is_reading, tuple refusal)
    cdef Ingress _deny(self, const Envelope* env, tuple refusal) except *
    cdef Answer _answer_to(self, object event)
    cdef bint _police_call(self, list texts) except -1
