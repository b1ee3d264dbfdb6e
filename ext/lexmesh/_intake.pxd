"""One pass over a message: decode, police, filters and transformers, police again, route, count."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from lexmesh._buffer cimport Buffer
from lexmesh._codec cimport StreamEvent
from lexmesh._decoder cimport Decoder
from lexmesh._envelope cimport Envelope, Format
from lexmesh._ledger cimport UNDECIDED, Ingress, Tally
from lexmesh._nsr cimport Scanner, Verdict
from lexmesh._relay cimport Relay
from lexmesh._router cimport Endpoint, Router, Subject
from lexmesh._span cimport Span, Status
from lexmesh._window cimport Windows


cdef class Intake:
    """What a node takes in. Sans-io: it is told the time and calls endpoints."""

    cdef readonly Router router
    cdef readonly Scanner scanner
    cdef readonly str node_id           # empty: target_node is not looked at, handlers get everything
    cdef bytes node_name
    cdef Span name_span                 # of node_name
    cdef uint32_t max_depth
    cdef public Py_ssize_t max_message_size
    cdef public Py_ssize_t max_published        # bytes of a message of this node's own
    cdef Decoder decoder
    cdef Relay relay
    cdef Buffer own                     # scratch for what is sent to one link alone, perhaps in the midst of a relay
    cdef Windows windows
    cdef public unsigned long thread    # the only thread that may use this; 0: any
    cdef public bint trusts_links       # links are trusted with the names of the sources they pass on
    cdef public bint floods             # linked to nodes: what one link has brought is a duplicate on all others
    cdef public uint32_t deepest        # greatest depth of a message that was routed; for whoever sets it back to 0
    cdef dict denials                   # rule: count
    cdef dict flags                     # rule: count of messages that passed flagged
    cdef int64_t now                    # the time last told, milliseconds
    cdef public object auditor          # callable(now, source, id, node, subject, rule, path, denied, depth), or None
    cdef object middleware              # callable(event) -> event, None or awaitable; None when there is none
    cdef object on_deferred             # callable(awaitable, source): the middleware is async
    cdef int cause_depth                # depth for what a sync handler publishes while it runs; -1 outside
    cdef uint64_t undecided
    cdef uint64_t reached               # messages that came to routing
    cdef readonly Endpoint origin       # what this node publishes itself
    cdef Verdict verdict
    cdef public set awaited             # ids of requests of this node that wait for a reply
    cdef public Endpoint reply_endpoint # gets the replies to them

    cdef Ingress take(self, Span raw, Format format, Endpoint source, int64_t now) except? UNDECIDED
    cdef Ingress admit(self, Envelope* env, Endpoint source, int64_t now) except? UNDECIDED
    cdef Ingress _admit_policed(self, Envelope* env, Subject* subject, Endpoint source, int64_t now) except? UNDECIDED
    cdef Ingress _count(self, Ingress outcome, Subject* subject, Endpoint source) noexcept nogil
    cdef Ingress refuse(self, str reason, Endpoint source) except? UNDECIDED
    cdef Ingress _malformed(self, Status status, Py_ssize_t at, Endpoint source) except? UNDECIDED
    cdef bint _police(self, Envelope* env, Subject* subject, Endpoint source) except -1
    cdef int _deny(self, Envelope* env, Subject* subject, Endpoint source) except -1
    cdef int _flag(self, Envelope* env, Subject* subject, Endpoint source) except -1
    cdef int _record(self, const Envelope* env, Endpoint source, str rule, str path, bint denied) except -1
    cdef Ingress _refusal(self, Envelope* env, Endpoint source, int64_t now) except? UNDECIDED
    cdef void _stamp(self, Envelope* env, Endpoint source, int64_t now) noexcept nogil
    cdef int _learn_name(self, Envelope* env, Endpoint source) except -1
    cdef bint _is_new(self, Envelope* env, Endpoint source) except -1
    cdef bint _is_new_to_mesh(self, Envelope* env, Endpoint source) except -1
    cdef Ingress _through_middleware(self, Envelope* env, Subject* subject, Endpoint source) except? UNDECIDED
    cdef Ingress _after_middleware(self, object result, StreamEvent event, Subject* subject, Endpoint source,
                                   Scanner policed_by) except? UNDECIDED
    cdef Ingress _reached(self, Envelope* env, Subject* subject, Subject* came_as, Endpoint source,
                          StreamEvent event) except? UNDECIDED
    cdef Ingress _route(self, Envelope* env, Subject* subject, Endpoint source, StreamEvent event) except? UNDECIDED
    cdef Py_ssize_t _offer(self, Endpoint endpoint, Subject* subject, Endpoint source, object event) except -1
