"""The outbound half of a link: frames messages, coalesces what leaves in one loop turn, bounds what waits.

A message counts as delivered once the operating system has its bytes. While the transport holds bytes that the socket
did not take, everything new waits here, where it is counted and where an overflow policy can reach it.
"""

from lexmesh.errors import NotConnectedError, TransportError

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from picows.picows cimport WSTransport

from lexmesh._backlog cimport Record, counted
from lexmesh._buffer cimport release
from lexmesh._clock cimport now_ms
from lexmesh._codec cimport StreamEvent, event_from
from lexmesh._envelope cimport JSON, PROTO, Envelope, Format
from lexmesh._fields cimport Fields, describe
from lexmesh._framer cimport Framer
from lexmesh._ledger cimport Drop
from lexmesh._pipeline cimport Core
from lexmesh._relay cimport (
    GAP, Copies, Relay, Run, end_run, extend, framed, kept_relay, next_part, unframed, write_copy,
)
from lexmesh._router cimport Endpoint, Subject
from lexmesh._sender cimport Sender
from lexmesh._span cimport Span, span

OVERFLOW_POLICIES = ("disconnect", "drop_oldest", "drop_newest", "block")


cdef class Outbox(Framer):
    """A link as an endpoint.

    Args:
        core: the node's pipeline.
        owner: has on_control(event), on_refused(outcome, reason, path, id), on_congestion(bool), on_drained(),
            on_overflow(), on_blocked(source), schedule(outbox).
        overflow: one of OVERFLOW_POLICIES.
        limit: bytes that may wait here.
        age_limit: milliseconds that they may wait while the socket takes none.
    """

    def __init__(self, Core core not None, owner, str overflow, Py_ssize_t limit, int64_t age_limit):
        Sender.__init__(self, core, False)
        self.owner = owner
        self.overflow = <Overflow><int>OVERFLOW_POLICIES.index(overflow)
        self.limit = limit
        self.age_limit = age_limit
        self.keeps_frames = self.overflow == DROP_OLDEST
        self.epoch = 0

    def open(self, WSTransport transport not None, bint proto, bint masked, uint64_t epoch):
        """Starts sending on a connected transport.

        Args:
            transport: the link's transport.
            proto: send batches in binary frames rather than JSON in text frames.
            masked: whether frames are a client's.
            epoch: stamp for what comes in on this link without a name.
        """
        self.transport = transport
        self.format = PROTO if proto else JSON
        self.masked = masked
        self.epoch = epoch
        self.seq = 0
        self.closed = False
        self.nameless = not masked
        self.stuck = self.scheduled = self.held = False

    def close(self, int reason=<int>Drop.DISCONNECTED):
        """Stops sending; what still waits is dropped and counted."""
        self.closed = True
        self._drop_records(0, <Drop>reason)
        end_run(&self.run)
        self.out.len = 0
        self.batch_at = -1
        self.stuck = False
        self._watch_congestion()
        self.transport = None

    # -- as an endpoint ------------------------------------------------------------------------------------------

    cdef int deliver(self, Relay* relay, Subject* subject, Endpoint source, object event) except -1:
        cdef Copies* copies = &relay.copies[<int>self.format]
        if not copies.written:
            return self._deliver_first(relay, subject, source)
        if self.out.len or self.stuck or self.masked or not extend(&self.run, copies):
            return self._deliver_apart(copies, subject, source)
        if (self.scheduled and self.run.end - self.run.start <= FLUSH_BYTES
                and counted(self, subject, <uint32_t>framed(copies).len)):
            return 0
        return self._shared(subject, <uint32_t>framed(copies).len)

    cdef int _deliver_first(self, Relay* relay, Subject* subject, Endpoint source) except -1:
        """deliver for the first that wants a message in its format."""
        if not write_copy(relay, self.format):
            raise MemoryError
        return self.deliver(relay, subject, source, None)

    cdef int _shared(self, Subject* subject, uint32_t size) except -1:
        """Counts a message that is held in common with others, and sees to it that it leaves."""
        self._record(subject, size, True)
        self._waits()
        if self.run.end - self.run.start > FLUSH_BYTES:
            self.flush()
        return 0

    cdef int _deliver_apart(self, const Copies* copies, Subject* subject, Endpoint source) except -1:
        """Takes a message that is not held in common with others."""
        if self.stuck and not self._make_room(framed(copies).len, subject):
            return 0
        if self.masked:
            self.put(unframed(copies), subject)
        else:
            self._put_framed(framed(copies), subject)
        if self.stuck and self.overflow == BLOCK and self._waiting() > self.limit:
            self.owner.on_blocked(source)
        return 0

    cdef int refused(self, const Envelope* env, int outcome, str reason, str path) except -1:
        cdef object id = None
        if env != NULL and env.source_node.len and (env.epoch or env.seq):
            id = f"{env.source_node.ptr[:env.source_node.len].decode()}:{env.epoch}:{env.seq}"
        self.owner.on_refused(outcome, reason, path, id)
        return 0

    cdef int control(self, const Envelope* env) except -1:
        self.owner.on_control(event_from(env, self.core.decoder))
        return 0

    def identify(self, str name, bint echo):
        """Sets the peer's node name and whether it wants its own messages back."""
        self.core.router.name(self, name)
        self.echo = echo

    def join(self, str name not None):
        """Makes this the link to a node of the mesh.

        Two nodes that both stopped reading until the other one reads would wait for ever, so `block` is not for them:
        who is stuck for too long is disconnected.
        """
        if self.overflow == BLOCK:
            self.overflow = DISCONNECT
        self.core.floods = True
        self.core.router.join(self, name)

    def ride(self, bint outwards):
        """Makes this a way to or from a medium that many nodes hear; what is in anybody's name may pass.

        Args:
            outwards: whether it is one to the medium.
        """
        self.is_node = True
        self.nameless = self.echo = False
        self.outlet = outwards
        self.on_medium = True

    def send(self, event_type, data=None, *, reply_to=""):
        """Queues a reserved message of the link's own, outside the ledger.

        Args:
            event_type, data, reply_to: as in StreamEvent.

        Returns:
            Its id, which an answer names. Its epoch is 0: such messages leave no gap among the events.
        """
        cdef Envelope env
        cdef Fields fields = Fields.__new__(Fields)
        if self.closed:
            return ""
        self.own_seq += 1
        describe(&env, fields, event_type, data, None, self.core.node_id or None, None, now_ms(), 0, self.own_seq, 0,
                 None, 0, reply_to)
        self.encode(&env)
        self.put(span(self.core.own.ptr, self.core.own.len), NULL)
        if self.stuck and self._waiting() > self.limit:
            self.owner.on_blocked(self)     # it asks and does not read the answers: hear no more of it until it does
        return f"{self.core.node_id}:0:{self.own_seq}"

    cdef int check_ready(self) except -1:
        if self.closed:
            raise NotConnectedError
        if self.stuck and self.overflow == BLOCK and self._waiting() > self.limit:
            raise TransportError(f"{self._waiting()} bytes wait for the peer to read; await writable() or flush()")
        return 0

    cdef int queue_own(self, Span message, Subject* subject) except -1:
        if not self.stuck or self._make_room(message.len, subject):
            self.put(message, subject)
        return 0

    cdef int _queued(self, Subject* subject, Py_ssize_t size, bint starts) except -1:
        """Records so many bytes, and the header of a batch if they start one."""
        if starts and self.format == PROTO:
            size += self.batch_head
        if not counted(self, subject, <uint32_t>size):
            self._record(subject, <uint32_t>size, starts)
        self._waits()
        if self.out.len > FLUSH_BYTES and not self.stuck:
            self.flush()
        elif self.stuck and not self.congested:
            self._watch_congestion()
        return 0

    cdef inline int _waits(self) except -1:
        """Sees to it that what waits here leaves, once it can."""
        if not self.scheduled and not self.stuck:
            self.scheduled = True
            if not self.held:
                self.owner.schedule(self)
        return 0

    cdef inline Py_ssize_t _waiting(self) noexcept:
        """Bytes of its own that wait here."""
        return self.ahead + self.out.len

    # -- leaving -------------------------------------------------------------------------------------------------

    cpdef void flush(self) except *:
        """Hands everything queued to the socket, in one write."""
        self.scheduled = False
        if self.closed or self.stuck or (self.out.len == 0 and self.run.of == NULL):
            return
        if self.batch_at >= 0:
            self._close_batch()
        self.riding = self.record_count
        if self.run.of != NULL:
            self._send_run()
        else:
            self.transport._fast_write(<char*>self.out.ptr, self.out.len)
        self.out.len = 0
        if self.out.capacity > 4 * FLUSH_BYTES:
            release(&self.out)
        if self.transport is None:      # the write failed and closed the link
            return
        if self.transport._tr_get_write_buffer_size():
            self.stuck = True
            self.stuck_since = now_ms()
        else:
            self._settle(self.riding)

    cdef int _send_run(self) except -1:
        """Writes what is held in common with others from where it stands."""
        cdef Run run = self.run
        cdef Run left = run
        cdef Span part
        cdef uint8_t covered[GAP]
        self.run.of = NULL
        try:
            while self.transport is not None and next_part(&left, &part, covered):
                try:
                    self.transport._fast_write(<char*>part.ptr, part.len)
                finally:
                    memcpy(run.of.buffer.ptr + run.start - GAP, covered, GAP)
                run.start = left.start
        finally:
            end_run(&run)
        return 0

    cdef inline void hold(self) noexcept:
        """What the peer is answered while a read of its frames is served leaves when that is done, in one write.

        Not so if others have put something here in this loop turn: then all leaves at its end.
        """
        self.held = self.held or not self.scheduled

    cdef int let_go(self) except -1:
        """The read is served."""
        if self.held:
            self.held = False
            if self.scheduled:
                self.flush()
        return 0

    def writable(self):
        """The transport has handed all its bytes to the socket: what rode with it is delivered, the rest follows."""
        self.stuck = False
        self._settle(self.riding)
        self.flush()
        self._watch_congestion()
        if self.record_count == 0:
            self.owner.on_drained()

    def trim(self):
        """Gives back what a burst left behind, once nothing waits; to be called now and then, not by what delivers."""
        if self.out.len == 0 and self.out.capacity > QUIET_BYTES:
            release(&self.out)
        self._trim_records()
        kept_relay(&self.core.relay, QUIET_BYTES)

    # -- bounds --------------------------------------------------------------------------------------------------

    cdef bint _make_room(self, Py_ssize_t size, Subject* subject) except -1:
        """Applies the overflow policy if the queue is full or too old; False if this message is the one dropped."""
        if not self.stuck or self._waiting() + size <= self.limit and not self.too_old():
            return True
        if self.overflow == BLOCK:
            return True     # what has been read must go somewhere; the publishers are stopped
        if self.overflow == DROP_NEWEST:
            self.drop(subject, Drop.OVERFLOW, 1)
            return False
        if self.overflow == DROP_OLDEST:
            if self._waiting() + size > self.limit:
                self._drop_oldest(self._waiting() + size - self.limit // 4 * 3)
            return True
        self.drop(subject, Drop.OVERFLOW, 1)
        self.give_up()
        return False

    cpdef bint too_old(self) noexcept:
        return self.stuck and self.overflow == DISCONNECT and now_ms() - self.stuck_since > self.age_limit

    def give_up(self):
        """Closes the link for reading too slowly; all that waits is dropped as overflow."""
        if not self.closed:
            self.close(<int>Drop.OVERFLOW)
            self.owner.on_overflow()

    cdef void _drop_oldest(self, Py_ssize_t wanted) noexcept:
        """Drops whole frames until `wanted` bytes are free: a quarter of the queue at once, so that moving the rest up
        costs little a message."""
        cdef Py_ssize_t first = self.record_first + self.riding
        cdef Py_ssize_t end = self.record_first + self.record_count
        cdef Py_ssize_t last = first
        cdef Py_ssize_t size = 0
        if self.batch_at >= 0:
            self._close_batch()
        while last < end and (size < wanted or not self.records[last].starts_frame):
            size += self.records[last].size
            if self.records[last].subject != NULL:
                self.drop(self.records[last].subject, Drop.OVERFLOW, self.records[last].count)
            last += 1
        memmove(self.records + first, self.records + last, <size_t>(end - last) * sizeof(Record))
        self.record_count -= last - first
        memmove(self.out.ptr, self.out.ptr + size, <size_t>(self.out.len - size))
        self.out.len -= size

    cdef void _watch_congestion(self) except *:
        """Tells the owner when the queue passes a quarter of its limit, and when it is back under it."""
        cdef bint congested = self.stuck and 4 * self._waiting() > self.limit
        if congested != self.congested:
            self.congested = congested
            self.owner.on_congestion(congested)

    @property
    def capacity(self):
        """Bytes of memory that its buffer takes."""
        return self.out.capacity

    @property
    def queued(self):
        """Bytes that wait here."""
        return self._waiting() if self.run.of == NULL else self.run.end - self.run.start
