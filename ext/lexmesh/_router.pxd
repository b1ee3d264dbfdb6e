"""Who gets a message: endpoints, subscriptions with wildcards, and one cached route a subject."""

from libc.stdint cimport uint64_t

from lexmesh._envelope cimport Envelope
from lexmesh._ledger cimport Drop, Tally
from lexmesh._relay cimport Relay
from lexmesh._span cimport Span, Status
from lexmesh._window cimport Window

cdef enum:
    MAX_SUBJECTS = 16384    # subjects with a cached route and counters of their own; the rest share one entry
    SUBJECT_SLOTS = 65536   # power of two, at least twice MAX_SUBJECTS


cdef struct Subject:
    # Lives as long as its Router: queues keep pointers to it.
    uint64_t hash
    Span name
    uint64_t generation     # of the subscriptions when `route` was computed
    void* route             # borrowed from Router.routes; a list of Endpoint
    bint reserved
    Tally tally


cdef class Endpoint:
    """Where messages come from and go to: a link, a handler, or the node itself."""

    cdef readonly str name          # node name, once known
    cdef readonly bint echo         # wants its own messages back
    cdef readonly bint local        # a handler of this process
    cdef readonly bint closed
    cdef bint is_group              # a queue group: stands in a route for one of its members
    cdef uint64_t elected           # the message, as Intake.routed counts, that a group last gave it
    cdef uint64_t number            # of no other endpoint of this process, ever
    cdef bint nameless              # a link whose peer has not been heard to name itself
    cdef bint away                  # a link that waits for its peer to come back: who comes otherwise may have its name
    cdef readonly bint is_node      # a link to a node of the mesh, which passes on what others have said
    cdef bint outlet                # a way to a medium that many nodes hear, and not what that has brought already
    cdef public bint on_medium      # what comes from here is, or has been, on that medium
    cdef Tally tally
    cdef uint64_t pending           # offered, outcome not yet known
    cdef uint64_t undecided         # taken, outcome not yet known
    cdef uint64_t epoch, seq        # stamps for what comes from here unnamed
    cdef Window window              # of the source last seen here
    cdef set subjects               # the patterns it subscribed to; None before the first

    cdef int deliver(self, Relay* relay, Subject* subject, Endpoint source, object event) except -1
    cdef int refused(self, const Envelope* env, int outcome, str reason, str path) except -1
    cdef int control(self, const Envelope* env) except -1
    cdef int wait_for(self, object event) except -1
    cdef int take_up(self, object event) except -1
    cdef int done_with(self, object event, int outcome) except -1
    cdef void drop(self, Subject* subject, Drop reason, uint64_t count) noexcept nogil


cdef inline bint takes(Endpoint endpoint, Endpoint source) noexcept nogil:
    """Whether a link gets what another one has brought."""
    if endpoint.outlet:
        return not source.on_medium
    return endpoint is not source or endpoint.echo


cdef class Router:
    cdef Subject** slots
    cdef Py_ssize_t subject_count
    cdef Subject* last              # the entry found last: messages of one subject mostly come together
    cdef Subject other              # the subject of messages beyond MAX_SUBJECTS
    cdef Subject unknown            # the subject of messages that could not be decoded
    cdef Subject control            # the subject of all reserved messages, whatever their type
    cdef uint64_t generation
    cdef dict patterns              # subject pattern: list of Endpoint
    cdef dict named                 # node name: Endpoint
    cdef readonly dict connections  # epoch: Endpoint of a client, to which answers go to what it has left unnamed
    cdef readonly list node_links   # Endpoints of nodes: they get what is for names that nobody here bears
    cdef public object channels_of  # callable(subject) -> Endpoints: what a medium carries a subject by; None for none
    cdef public object on_change    # callable(), told of each change of the subscriptions
    cdef object trie
    cdef list routes                # keeps every Subject.route alive

    cdef Subject* find(self, Span name) noexcept nogil
    cdef Subject* _search(self, Span name) noexcept nogil
    cdef Subject* _insert(self, Span name, uint64_t hash, size_t slot) noexcept nogil
    cdef Endpoint asker_of(self, Span request, Span own_name)
    cdef list route(self, Subject* subject, Span name)
    cdef void _changed(self) except *
    cdef void _prune(self, str pattern) except *
    cdef Tally total(self)
    cpdef void subscribe(self, str pattern, Endpoint endpoint) except *
    cpdef bint unsubscribe(self, str pattern, Endpoint endpoint) except *
    cpdef void forget(self, Endpoint endpoint) except *
    cpdef void name(self, Endpoint endpoint, str name) except *
    cpdef void join(self, Endpoint endpoint, str name) except *
    cpdef void stand_in(self, Endpoint endpoint, str name) except *
