"""One pass over a message. Every message that enters `take` leaves with exactly one ingress outcome."""

from lexmesh._ledger import INGRESS_NAMES

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from lexmesh._buffer cimport Buffer, release
from lexmesh._codec cimport StreamEvent, event_from
from lexmesh._decoder cimport Decoder
from lexmesh._envelope cimport HAS_DEPTH, HAS_EPOCH, HAS_SEQ, HAS_SOURCE, HAS_TIMESTAMP, HAS_TTL, PROTO
from lexmesh._envelope cimport Envelope, Format
from lexmesh._group cimport Group
from lexmesh._ledger cimport DENIED, DUPLICATE, EXPIRED, FILTERED, LOOPED, MALFORMED, ROUTED, UNDECIDED, UNROUTABLE
from lexmesh._ledger cimport Ingress
from lexmesh._nsr cimport Scanner
from lexmesh._police cimport Police
from lexmesh._relay cimport Relay, init_relay, release_relay, start_relay
from lexmesh._router cimport Endpoint, Subject, takes
from lexmesh._span cimport OK, TOO_BIG, UNKNOWN_FIELD, Span, Status, is_literal, same, span
from lexmesh._status cimport malformed, reason_of
from lexmesh._unknown cimport allows_unknown, decode_newer
from lexmesh._window cimport Window, Windows, add_number, is_window_of

cdef enum:
    MOST_STAMPS = 1024      # bytes that a node may have added to a message of the largest size


cdef inline Span bytes_span(bytes data):
    return span(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef class Intake(Police):
    """Polices, routes and counts what one node takes in.

    Args:
        scanner: the compiled consent policy.
        node_id: this node's name; empty lets handlers run whatever target a message names.
        epoch: the node's start, milliseconds since 1970-01-01 UTC.
        max_depth: messages with more hops are refused as looped.
        max_message_size: bytes; larger messages are refused as malformed.
    """

    def __init__(self, Scanner scanner not None, str node_id, uint64_t epoch, uint32_t max_depth,
                 Py_ssize_t max_message_size):
        Police.__init__(self, scanner)
        self.node_id = node_id
        self.node_name = node_id.encode()
        self.name_span = bytes_span(self.node_name)
        self.max_depth = max_depth
        self.max_message_size = self.max_published = max_message_size
        self.decoder = Decoder()
        self.windows = Windows()
        self.cause_depth = -1
        self.awaited = set()
        self.origin = Endpoint()
        self.origin.epoch = epoch
        self.origin.name = node_id
        init_relay(&self.relay)
        memset(&self.own, 0, sizeof(Buffer))

    def __dealloc__(self):
        release_relay(&self.relay)
        release(&self.own)

    # -- the one pass --------------------------------------------------------------------------------------------

    cdef Ingress take(self, Span raw, Format format, Endpoint source, int64_t now) except? UNDECIDED:
        """Takes in one message as it came from the wire; `raw` must stay in place until this returns."""
        cdef Envelope env
        cdef Py_ssize_t at = 0
        cdef Status status = TOO_BIG
        self.now = now
        if raw.len <= self.max_message_size + (MOST_STAMPS if source.is_node else 0):
            status = self.decoder.decode(raw, format, &env, &at)
        if status == UNKNOWN_FIELD and source.is_node and format == PROTO:
            return self._take_newer(raw, source, now)
        if status != OK:
            return self._malformed(status, at, source)
        return self.admit(&env, source, now)

    cdef Ingress _take_newer(self, Span raw, Endpoint source, int64_t now) except? UNDECIDED:
        """Takes in a message of a node that has fields which this version does not know."""
        cdef Envelope env
        cdef Py_ssize_t at = 0
        cdef Status status = decode_newer(self.decoder, raw, &env, &at)
        if status != OK:
            return self._malformed(status, at, source)
        if allows_unknown(self.scanner, self.decoder, &env, &self.verdict):
            return self.admit(&env, source, now)
        cdef Subject* subject = self.router.find(env.event_type)
        self._deny(&env, subject, source)
        source.tally.taken += 1
        subject.tally.taken += 1
        return self._count(DENIED, subject, source)

    cdef inline Ingress admit(self, Envelope* env, Endpoint source, int64_t now) except? UNDECIDED:
        cdef Subject* subject = self.router.find(env.event_type)
        self.now = now
        if subject.reserved:    # spoken to this node, never routed and never counted as a message
            if self._police(env, subject, source):
                source.control(env)
            return ROUTED
        source.tally.taken += 1
        subject.tally.taken += 1
        if not self._police(env, subject, source):
            return self._count(DENIED, subject, source)
        return self._admit_policed(env, subject, source, now)

    cdef inline Ingress _admit_policed(self, Envelope* env, Subject* subject, Endpoint source, int64_t now) except? UNDECIDED:
        cdef Ingress outcome
        if source.nameless and env.source_node.len:
            self._learn_name(env, source)
        outcome = self._refusal(env, source, now)
        if outcome != ROUTED:
            source.refused(env, outcome, INGRESS_NAMES[<int>outcome], "")
            return self._count(outcome, subject, source)
        self._stamp(env, source, now)
        if self.floods and not self._is_new_to_mesh(env, source):
            source.refused(env, <int>DUPLICATE, INGRESS_NAMES[<int>DUPLICATE], "")
            return self._count(DUPLICATE, subject, source)
        if self.middleware is not None and not is_literal(env.event_type, "system_error", 12):
            return self._through_middleware(env, subject, source)
        return self._reached(env, subject, subject, source, None)

    cdef inline Ingress _refusal(self, Envelope* env, Endpoint source, int64_t now) except? UNDECIDED:
        """Why an allowed message does not go on: expired, looped or duplicate; ROUTED when it does."""
        if env.has & HAS_TTL and (env.ttl_ms == 0 or (env.has & HAS_TIMESTAMP
                                                      and now - <int64_t>env.ttl_ms >= env.timestamp)):
            return EXPIRED
        if env.depth > self.max_depth:
            return LOOPED
        if env.has & HAS_SEQ and env.source_node.len and not self.floods and not self._is_new(env, source):
            return DUPLICATE
        return ROUTED

    cdef inline bint _is_new(self, Envelope* env, Endpoint source) except -1:
        cdef Window window = source.window
        if window is None or not is_window_of(window, env.source_node, env.epoch):
            window = self.windows.of(env.source_node, env.epoch, None if self.trusts_links else source.number)
            source.window = window
        return add_number(window, env.seq)

    cdef bint _is_new_to_mesh(self, Envelope* env, Endpoint source) except -1:
        """Whether no link has brought a message before; one without a number counts as number 0, or it would go round.

        What this node has published itself is never new, however long ago that was.
        """
        cdef Window window = source.window
        if source is not self.origin and env.epoch == self.origin.epoch and same(env.source_node, self.name_span):
            return False
        if window is None or not window.shared or not is_window_of(window, env.source_node, env.epoch):
            window = self.windows.of(env.source_node, env.epoch, None)
            source.window = window
        return add_number(window, env.seq)

    cdef int _learn_name(self, Envelope* env, Endpoint source) except -1:
        """Takes a link's first source for its name, so that answers find it; a name in use stays its bearer's."""
        cdef str name = env.source_node.ptr[:env.source_node.len].decode()
        cdef Endpoint bearer = self.router.named.get(name)
        source.nameless = False
        if name != self.node_id and (bearer is None or bearer.away):
            self.router.name(source, name)
        return 0

    cdef inline void _stamp(self, Envelope* env, Endpoint source, int64_t now) noexcept nogil:
        """Fills what the sender left out. Values set without their bit in `has` are spliced in on the way out."""
        if env.source_node.len == 0:
            env.source_node = self.name_span
            if env.has & HAS_SOURCE:
                env.rewrite = True
        if not env.has & (HAS_EPOCH | HAS_SEQ):
            source.seq += 1
            env.epoch = source.epoch
            env.seq = source.seq
        if not env.has & HAS_TIMESTAMP:
            env.timestamp = now

    # -- filters and transformers --------------------------------------------------------------------------------

    cdef Ingress _through_middleware(self, Envelope* env, Subject* subject, Endpoint source) except? UNDECIDED:
        cdef StreamEvent event = event_from(env, self.decoder)
        cdef Scanner policed_by = self.scanner
        cdef object result
        try:
            result = self.middleware(event)
        except BaseException:
            self._count(FILTERED, subject, source)
            raise
        if not hasattr(result, "__await__"):
            if source.undecided == 0:
                return self._after_middleware(result, event, subject, source, policed_by)
            result = settled(result)    # earlier messages of this source still wait: keep its order
        deferred = self._deferred(result, event, source, policed_by)
        self.undecided += 1
        source.undecided += 1
        source.wait_for(event)
        try:
            self.on_deferred(deferred, source)
        except BaseException:
            deferred.close()
            result.close()
            source.done_with(event, <int>FILTERED)
            self.undecided -= 1
            source.undecided -= 1
            self._count(FILTERED, subject, source)
            raise
        return UNDECIDED

    async def _deferred(self, result, StreamEvent event, Endpoint source, Scanner policed_by):
        """Waits for async filters and transformers, then takes the message up where it was left."""
        try:
            passed = await result
        except BaseException:
            self.undecided -= 1
            source.undecided -= 1
            self._count(FILTERED, self.router.find(event.env.event_type), source)
            source.done_with(event, <int>FILTERED)
            raise
        self.undecided -= 1
        source.undecided -= 1
        source.take_up(event)
        outcome = self._after_middleware(passed, event, self.router.find(event.env.event_type), source, policed_by)
        source.done_with(event, <int>outcome)
        return INGRESS_NAMES[<int>outcome]

    cdef Ingress _after_middleware(self, object result, StreamEvent event, Subject* subject, Endpoint source,
                                   Scanner policed_by) except? UNDECIDED:
        """Routes what filters and transformers let pass; what they may have rewritten is policed again.

        So is what has waited for them while another policy came into force.
        """
        cdef Envelope env
        cdef Py_ssize_t at = 0
        cdef Status status
        cdef bytes message
        cdef Subject* rewritten
        if result is None:
            source.refused(&event.env, <int>FILTERED, "filtered", "")
            return self._count(FILTERED, subject, source)
        if result is event and not event.changed and event.raw is not None and policed_by is self.scanner:
            # the very bytes that were policed
            return self._reached(&event.env, subject, subject, source, event)
        event = result
        try:
            message = event.to_proto()
        except Exception as error:      # a value that no message can hold
            self.middleware.unusable(error, event)
            source.refused(NULL, <int>FILTERED, "a transformer made no message of it", "")
            return self._count(FILTERED, subject, source)
        status = self.decoder.decode(bytes_span(message), PROTO, &env, &at)
        if status != OK:
            reason = f"after a transformer: {reason_of(status)}"
            self._record(NULL, source, "malformed", reason, True)
            source.refused(NULL, <int>MALFORMED, reason, "")
            return self._count(MALFORMED, subject, source)
        rewritten = self.router.find(env.event_type)
        if rewritten.reserved:
            source.refused(&env, <int>FILTERED, "a transformer gave it a reserved type", "")
            return self._count(FILTERED, subject, source)
        if not self._police(&env, subject, source):
            return self._count(DENIED, subject, source)
        event = event_from(&env, self.decoder)
        return self._reached(&event.env, rewritten, subject, source, event)

    # -- routing -------------------------------------------------------------------------------------------------

    cdef inline Ingress _reached(self, Envelope* env, Subject* subject, Subject* came_as, Endpoint source,
                          StreamEvent event) except? UNDECIDED:
        """Routes a message, of which a transformer may have changed the subject that it came with.

        It is counted as routed before: whatever a handler raises through here (SystemExit), it has been counted.
        """
        self._count(ROUTED, came_as, source)
        if self._route(env, subject, source, event) == ROUTED:
            return ROUTED
        source.tally.ingress[<int>ROUTED] -= 1
        came_as.tally.ingress[<int>ROUTED] -= 1
        return self._count(UNROUTABLE, came_as, source)

    cdef inline Ingress _route(self, Envelope* env, Subject* subject, Endpoint source, StreamEvent event) except? UNDECIDED:
        """Offers a message to its recipients: links first, which copy it, then handlers, which may publish.

        Nothing of `env`, of the decoder or of the relay is touched after the first handler ran: a handler that
        publishes comes back through here.
        """
        cdef Py_ssize_t offered = 0
        cdef Py_ssize_t i
        cdef list route
        cdef Endpoint endpoint
        cdef bint to_me = env.target_node.len == 0 or not self.node_id or same(env.target_node, self.name_span)
        cdef bint handled = False
        cdef bint directed = env.target_node.len != 0
        cdef list elected = None    # handlers that are members of queue groups
        if env.depth > self.deepest:
            self.deepest = env.depth
        start_relay(&self.relay, env)
        self.routed += 1
        env.depth += 1
        if subject.generation == self.router.generation:
            route = <list>subject.route
        else:
            route = self.router.route(subject, env.event_type)
        if env.target_node.len == 0:
            for i in range(PyList_GET_SIZE(route)):
                endpoint = <Endpoint>PyList_GET_ITEM(route, i)  # without a look at its type: routes hold nothing else
                if endpoint.local:
                    handled = True
                elif endpoint.is_group:
                    endpoint = (<Group>endpoint).elect(env, source, route, self.routed)
                    if endpoint is not None and endpoint.local:
                        elected = [endpoint] if elected is None else [*elected, endpoint]
                    elif endpoint is not None:
                        offered += self._offer(endpoint, subject, source, None)
                elif takes(endpoint, source):
                    offered += self._offer(endpoint, subject, source, None)
        else:
            offered = self._offer_directed(env, subject, source, to_me)
        env.depth -= 1
        if env.reply_to.len and self.awaited and self.reply_endpoint is not None and env.reply_to.ptr[:env.reply_to.len].decode() in self.awaited:
            event = event_from(env, self.decoder) if event is None else event
            offered += self._offer(self.reply_endpoint, subject, source, event)
        if not to_me or not (directed or handled or elected is not None):
            return ROUTED if offered else UNROUTABLE
        for endpoint in route if elected is None else route + elected:
            if directed and endpoint.is_group:
                endpoint = (<Group>endpoint).next_handler()
            if endpoint is not None and endpoint.local:
                event = event_from(env, self.decoder) if event is None else event
                offered += self._offer(endpoint, subject, source, event)
        return ROUTED if offered else UNROUTABLE

    cdef Py_ssize_t _offer_directed(self, Envelope* env, Subject* subject, Endpoint source, bint to_me) except -1:
        """Offers a message for one node to the link that leads there; returns how many took it."""
        cdef Py_ssize_t offered = 0
        cdef Endpoint endpoint
        if not to_me:
            endpoint = self.router.named.get(env.target_node.ptr[:env.target_node.len].decode())
        elif env.reply_to.len:
            endpoint = self.router.asker_of(env.reply_to, self.name_span)
            endpoint = None if endpoint is source else endpoint
        else:
            return 0
        if endpoint is not None:
            return self._offer(endpoint, subject, source, None)
        if to_me:
            return 0
        for endpoint in self.router.node_links:
            if takes(endpoint, source):
                offered += self._offer(endpoint, subject, source, None)
        return offered

    cdef inline Py_ssize_t _offer(self, Endpoint endpoint, Subject* subject, Endpoint source, object event) except -1:
        if endpoint.closed:
            return 0
        endpoint.tally.offered += 1
        subject.tally.offered += 1
        endpoint.pending += 1
        endpoint.deliver(&self.relay, subject, source, event)
        return 1


async def settled(result):
    """A result that is there already, as an awaitable."""
    return result
