"""The compiled pipeline of one node, as Python and the links see it."""

from lexmesh._ledger import INGRESS_NAMES

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from lexmesh._buffer cimport Buffer, kept, release
from lexmesh._codec cimport StreamEvent, event_from
from lexmesh._decoder cimport Decoder
from lexmesh._envelope cimport JSON, PROTO, Envelope, Format, check_names
from lexmesh._fields cimport encode_fields
from lexmesh._group cimport Group
from lexmesh._intake cimport Intake
from lexmesh._ledger cimport DENIED, ROUTED, UNDECIDED, UNROUTABLE, Ingress, Tally, balances, egress_counts
from lexmesh._ledger cimport ingress_counts
from lexmesh._nsr cimport Scanner
from lexmesh._reader cimport ReadBuffer
from lexmesh._relay cimport kept_relay, start_relay
from lexmesh._router cimport Endpoint, Subject
from lexmesh._span cimport OK, RESERVED_TYPE, TOO_BIG, Span, Status, same, span
from lexmesh._status cimport malformed

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    MOST_KEPT = 16384           # bytes of one buffer that stay for the next message

# In the epoch of what goes to no other node: its numbers leave no gap among those of the rest.
cdef uint64_t HERE = <uint64_t>1 << 48


cdef inline Span bytes_span(bytes data):
    return span(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef class Core(Intake):
    """Polices, routes and counts what one node takes in and publishes; arguments as for Intake."""

    def __cinit__(self):
        self.read_buffer = ReadBuffer()

    def publish(self, event_type, data, metadata, target_node, ttl, priority, reply_to, int64_t now, depth=0):
        """Takes in a message of this node's own.

        Args:
            event_type, data, metadata, target_node, ttl, priority, reply_to: as in StreamEvent.
            now: milliseconds since 1970-01-01 UTC.
            depth: hops of what caused it, plus one.

        Returns:
            The outcome's name and the message's id.

        Raises:
            MalformedError: if the fields do not make a message.
            TypeError: if a field has the wrong type.
        """
        cdef Buffer out
        cdef Ingress outcome
        cdef uint64_t seq = self.origin.seq + 1
        memset(&out, 0, sizeof(Buffer))
        if self.cause_depth >= 0 and depth == 0:
            depth = self.cause_depth
        try:
            encode_fields(&out, event_type, data, metadata, self.node_id or None, target_node, now,
                          self.origin.epoch, seq, depth, ttl, priority, reply_to)
            outcome = self._own(span(out.ptr, out.len), now, 0)
        finally:
            release(&out)
        return outcome_name(outcome), f"{self.node_id}:{self.origin.epoch}:{seq}"

    @property
    def next_id(self):
        """The id of what this node publishes next."""
        return f"{self.node_id}:{self.origin.epoch}:{self.origin.seq + 1}"

    def tell_here(self, str event_type not None, data, int64_t now, uint32_t depth=0):
        """Publishes an event of this node to its own handlers and clients, and to no other node; past filters.

        Args:
            event_type, data: as in StreamEvent.
            now: milliseconds since 1970-01-01 UTC.
            depth: hops of what caused it, plus one.

        Returns:
            The outcome's name.

        Raises:
            MalformedError, TypeError: if they do not make a message.
        """
        cdef Buffer out
        cdef Envelope env
        cdef Subject* subject
        cdef Ingress outcome
        memset(&out, 0, sizeof(Buffer))
        self.check_thread()
        self.now = now
        try:
            encode_fields(&out, event_type, data, None, self.node_id or None, None, now, self.origin.epoch | HERE,
                          self.told_here + 1, max(depth, <uint32_t>max(self.cause_depth, 0)), None, 0, "")
            subject = self.decode_own(span(out.ptr, out.len), PROTO, &env)
            if not self.allows_own(&env, subject):
                return outcome_name(DENIED)
            self.told_here = env.seq
            self.origin.tally.taken += 1
            subject.tally.taken += 1
            outcome = self._refusal(&env, self.origin, now)
            if outcome == ROUTED:
                outcome = self._route_here(&env, subject)
            return outcome_name(self._count(outcome, subject, self.origin))
        finally:
            release(&out)

    cdef Ingress _route_here(self, Envelope* env, Subject* subject) except? UNDECIDED:
        """Offers a message to clients and then, as in `_route`, to handlers."""
        cdef Endpoint endpoint
        cdef Py_ssize_t offered = 0
        cdef StreamEvent event = None
        cdef list route = self.router.route(subject, env.event_type)
        start_relay(&self.relay, env)
        env.depth += 1
        route = self._here(route)
        for endpoint in route:
            if not endpoint.local:
                offered += self._offer(endpoint, subject, self.origin, None)
        env.depth -= 1
        for endpoint in route:
            if endpoint.local:
                event = event_from(env, self.decoder) if event is None else event
                offered += self._offer(endpoint, subject, self.origin, event)
        return ROUTED if offered else UNROUTABLE

    cdef list _here(self, list route):
        """Handlers and clients of a route, each once; of a group's members of this node the next one."""
        cdef Endpoint endpoint
        cdef list here = []
        for endpoint in route:
            if endpoint.is_group:
                endpoint = (<Group>endpoint)._next(False)
            if endpoint is not None and not endpoint.is_node:
                here.append(endpoint)
        return list(dict.fromkeys(here))

    cdef Ingress _own(self, Span message, int64_t now, uint32_t depth) except *:
        """Takes in a message made in this process: what would be counted as malformed raises instead."""
        cdef Envelope env
        cdef Subject* subject
        self.check_thread()
        self.now = now
        subject = self.decode_own(message, PROTO, &env)
        if not self.allows_own(&env, subject):
            return DENIED
        env.depth = max(env.depth, depth)
        if env.source_node.len == 0 or same(env.source_node, self.name_span):
            if env.epoch == self.origin.epoch and env.seq > self.origin.seq:
                self.origin.seq = env.seq
        self.origin.tally.taken += 1
        subject.tally.taken += 1
        return self._admit_policed(&env, subject, self.origin, now)

    cdef int check_thread(self) except -1:
        if self.thread and self.thread != PyThread_get_thread_ident():
            raise RuntimeError("a node is used from its event loop's thread only; "
                               "from another, loop.call_soon_threadsafe(node.publish, …)")
        return 0

    cdef Subject* decode_own(self, Span message, Format format, Envelope* env) except NULL:
        """Reads a message of this node's as whoever gets it will: what is policed here is what is policed there."""
        cdef Py_ssize_t at = 0
        cdef Status status = self.decoder.decode(message, format, env, &at)
        if status != OK:
            raise malformed(status, at)
        return self.subject_of_own(env)

    cdef Subject* subject_of_own(self, const Envelope* env) except NULL:
        """The subject of a message of this node's; raises for one that nobody would take."""
        cdef Subject* subject = NULL
        cdef Status status = check_names(env)
        if status == OK and env.raw.len > self.max_published:
            status = TOO_BIG
        if status == OK:
            subject = self.router.find(env.event_type)
            if subject.reserved:
                status = RESERVED_TYPE
        if status != OK:
            raise malformed(status, 0)
        return subject

    cdef bint allows_own(self, Envelope* env, Subject* subject) except *:
        """Whether the policy lets a message of this node's leave; a refusal is counted, and takes no number."""
        if self._police(env, subject, self.origin):
            return True
        self.origin.tally.taken += 1
        subject.tally.taken += 1
        self._count(DENIED, subject, self.origin)
        return False

    def reply(self, Endpoint endpoint not None, StreamEvent request not None, data, int64_t now):
        """Sends a handler's answer to where the request came from; it is policed and counted like any message.

        Args:
            endpoint: the request's source; this node's own origin for a request that it waits for itself.
            request: what is answered.
            data: the answer; its "type", if a str, becomes the event type, else that is `reply`.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            The outcome's name.

        Raises:
            MalformedError, TypeError: if the answer does not make a message.
        """
        cdef Buffer out
        cdef Envelope env
        cdef Subject* subject
        cdef object event_type = data.get("type")
        cdef Ingress outcome
        memset(&out, 0, sizeof(Buffer))
        self.now = now
        try:
            encode_fields(&out, event_type if isinstance(event_type, str) and event_type else "reply", data, None,
                          self.node_id or None, self._target_of(request), now, self.origin.epoch, self.origin.seq + 1,
                          request.env.depth + 1, None, 0, request.id)
            subject = self.decode_own(span(out.ptr, out.len), PROTO, &env)
            if not self.allows_own(&env, subject):
                return outcome_name(DENIED)
            self.origin.seq = env.seq
            self.origin.tally.taken += 1
            subject.tally.taken += 1
            if endpoint is self.origin:
                endpoint = self.reply_endpoint
                outcome = ROUTED if self._offer(endpoint, subject, self.origin, event_from(&env, self.decoder)) else UNROUTABLE
            elif endpoint.is_node:    # the asker may be several hops away, and this link be gone by now
                outcome = self._route(&env, subject, self.origin, None)
            else:
                start_relay(&self.relay, &env)
                outcome = ROUTED if self._offer(endpoint, subject, endpoint, request) else UNROUTABLE
            return outcome_name(self._count(outcome, subject, self.origin))
        finally:
            release(&out)

    def _target_of(self, StreamEvent request not None):
        """Whom an answer is for: the asker, unless that is a client without a name of its own."""
        return request.source_node if request.source_node != self.node_id else None

    def process(self, StreamEvent event not None, int64_t now, uint32_t depth=0):
        """Takes in an event as if it had come from outside.

        Args:
            event: the event; it is encoded first, so that what is policed is what is handled.
            now: milliseconds since 1970-01-01 UTC.
            depth: hops of what caused it, plus one; the event's own depth counts when it is greater.

        Returns:
            The outcome's name, or None while an async filter holds the message.
        """
        cdef bytes message = event.to_proto()
        return outcome_name(self._own(bytes_span(message), now, max(depth, max(self.cause_depth, 0))))

    def feed(self, bytes message not None, str format, Endpoint source not None, int64_t now):
        """Takes in one message as bytes; what a transport without a compiled link calls.

        Args:
            message: the message.
            format: "json" or "proto".
            source: where it came from.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            The outcome's name, or None while an async filter holds the message.
        """
        return outcome_name(self.take(bytes_span(message), JSON if format == "json" else PROTO, source, now))

    def announce(self, list endpoints not None, StreamEvent event not None):
        """Hands an event of a reserved type to handlers of this process: neither policed nor routed.

        Args:
            endpoints: the handlers' endpoints.
            event: this node's own.
        """
        cdef Envelope env
        cdef Py_ssize_t at = 0
        cdef bytes message = event.to_proto()
        cdef Status status = self.decoder.decode(bytes_span(message), PROTO, &env, &at)
        cdef Endpoint endpoint
        if status != OK:
            raise malformed(status, at)
        event = event_from(&env, self.decoder)
        for endpoint in endpoints:
            self._offer(endpoint, &self.router.control, self.origin, event)

    def set_middleware(self, middleware, on_deferred):
        """Puts filters and transformers between policing and routing; None takes them away."""
        self.middleware = middleware
        self.on_deferred = on_deferred

    def set_scanner(self, Scanner scanner not None):
        """Puts another policy in force from the next message on."""
        self.scanner = scanner
        self.verdict.rule = -1

    def trim(self):
        """Gives back the memory that large messages have left behind; to be called between messages, now and then."""
        self.scanner.trim()
        if self.decoder.capacity() > MOST_KEPT:
            self.decoder = Decoder()
        self._kept(MOST_KEPT)

    @property
    def capacity(self):
        """Bytes of memory that the last messages have left behind: of the scanner, the decoder and what relays."""
        return self.scanner.capacity + self.decoder.capacity() + self._kept(PY_SSIZE_T_MAX)

    cdef Py_ssize_t _kept(self, Py_ssize_t most) noexcept:
        """Bytes that relaying holds, once each buffer of over `most` bytes has been given back, if nobody holds what is in it."""
        return kept(&self.own, most) + kept_relay(&self.relay, most)

    @property
    def missing(self):
        """How many numbered messages between the first and last seen of each source never came."""
        return self.windows.missing()

    @property
    def last_refusal(self):
        """Rule and path of the last refusal, for the caller that has just been told `denied`."""
        if self.verdict.rule < 0:
            return None
        return self.scanner.rule_name(&self.verdict), self.scanner.path()

    def ledger(self, endpoints):
        """All counters, and whether they balance.

        Args:
            endpoints: every endpoint there has been that may still hold messages.

        Returns:
            A dict of plain numbers: taken, undecided, ingress, egress, denied_by_rule, flagged_by_rule,
            subjects, balanced.
        """
        cdef Tally total = self.router.total()
        cdef uint64_t in_flight = 0
        cdef Endpoint endpoint
        for endpoint in endpoints:
            in_flight += endpoint.pending
        return {
            "taken": total.taken,
            "undecided": self.undecided,
            "ingress": ingress_counts(&total),
            "egress": egress_counts(&total, in_flight),
            "denied_by_rule": dict(self.denials),
            "flagged_by_rule": dict(self.flags),
            "subjects": self.router.subjects(),
            "balanced": bool(balances(&total, self.undecided, in_flight)),
        }


cdef object outcome_name(Ingress outcome):
    return None if outcome == UNDECIDED else INGRESS_NAMES[<int>outcome]
