"""The outbound half of a link: frames messages, coalesces what leaves in one loop turn, bounds what waits.

A message counts as delivered once the operating system has its bytes. While the transport holds bytes that the socket
did not take, everything new waits here, where it is counted and where an overflow policy can reach it.
"""

import os

from lexmesh.errors import NotConnectedError, TransportError

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memmove

from picows.picows cimport WSMsgType, WSTransport

from lexmesh._backlog cimport Record
from lexmesh._buffer cimport Buffer, append, append_span, release, reserve
from lexmesh._clock cimport now_ms
from lexmesh._codec cimport StreamEvent, event_from
from lexmesh._envelope cimport JSON, PROTO, Envelope, Format
from lexmesh._fields cimport Fields, describe
from lexmesh._ledger cimport Drop
from lexmesh._pipeline cimport Core
from lexmesh._relay cimport Relay, framed, unframed
from lexmesh._router cimport Endpoint, Subject
from lexmesh._sender cimport Sender
from lexmesh._span cimport Span, put_varint, span

cdef extern from "frame.h" nogil:
    size_t lm_frame_header_size(uint64_t length, int masked) noexcept
    size_t lm_frame_header(uint8_t* out, uint8_t opcode, uint64_t length, int masked, uint32_t mask) noexcept
    void lm_frame_mask(uint8_t* data, size_t length, uint32_t mask) noexcept
    void lm_seed_masks(uint64_t seed) noexcept
    uint32_t lm_next_mask() noexcept

cdef enum:
    TEXT = 1
    BINARY = 2
    BATCH_ELEMENT = 0x0A        # tag of Batch.events
    MAX_HEADER = 14
    BATCH_BYTES = 65535         # a batch frame closes here: its length then fits the 16-bit form
    QUIET_BYTES = 1024          # of buffer that an outbox keeps for the next message
    FLUSH_BYTES = 262144        # more than this leaves at once, not at the end of the loop turn

OVERFLOW_POLICIES = ("disconnect", "drop_oldest", "drop_newest", "block")

lm_seed_masks(int.from_bytes(os.urandom(8), "little"))


cdef class Outbox(Sender):
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
        self.batch_at = -1
        self.epoch = 0

    def __dealloc__(self):
        release(&self.out)

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
        self.out.len = 0
        self.batch_at = -1
        self.stuck = False
        self._watch_congestion()
        self.transport = None

    # -- as an endpoint ------------------------------------------------------------------------------------------

    cdef int deliver(self, Relay* relay, Subject* subject, Endpoint source, object event) except -1:
        cdef Span message
        if not framed(relay, self.format, &message):
            raise MemoryError
        if self.stuck and not self._make_room(message.len, subject):
            return 0
        if self.masked:
            self.put(unframed(relay, self.format), subject)
        else:
            self._put_framed(message, subject)
        if self.stuck and self.overflow == BLOCK and self.out.len > self.limit:
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
        if self.stuck and self.out.len > self.limit:
            self.owner.on_blocked(self)     # it asks and does not read the answers: hear no more of it until it does
        return f"{self.core.node_id}:0:{self.own_seq}"

    cdef int check_ready(self) except -1:
        if self.closed:
            raise NotConnectedError
        if self.stuck and self.overflow == BLOCK and self.out.len > self.limit:
            raise TransportError(f"{self.out.len} bytes wait for the peer to read; await writable() or flush()")
        return 0

    cdef int queue_own(self, Span message, Subject* subject) except -1:
        if self._make_room(message.len, subject):
            self.put(message, subject)
        return 0

    # -- framing -------------------------------------------------------------------------------------------------

    cdef int put(self, Span message, Subject* subject) except -1:
        """Frames one message and sees to it that it leaves."""
        cdef uint32_t mask = lm_next_mask() if self.masked else 0
        cdef uint8_t head[MAX_HEADER]
        cdef Py_ssize_t size
        cdef bint starts = True
        if self.format == PROTO:
            head[0] = BATCH_ELEMENT
            size = put_varint(head + 1, <uint64_t>message.len) - head
            starts = self._open_batch(size + message.len)
        else:
            size = <Py_ssize_t>lm_frame_header(head, TEXT, <uint64_t>message.len, self.masked, mask)
        if not reserve(&self.out, size + message.len):
            raise MemoryError
        append(&self.out, head, size)
        append_span(&self.out, message)
        if self.format == JSON and self.masked:
            lm_frame_mask(self.out.ptr + self.out.len - message.len, <size_t>message.len, mask)
        return self._queued(subject, size + message.len, starts)

    cdef int _put_framed(self, Span message, Subject* subject) except -1:
        """The same for what a Relay has framed."""
        cdef bint starts = self.format == JSON or self._open_batch(message.len)
        if not reserve(&self.out, message.len):
            raise MemoryError
        append_span(&self.out, message)
        return self._queued(subject, message.len, starts)

    cdef int _queued(self, Subject* subject, Py_ssize_t size, bint starts) except -1:
        """Records so many bytes, and the header of a batch if they start one."""
        if starts and self.format == PROTO:
            size += self.batch_head
        self._record(subject, <uint32_t>size, starts)
        if not self.scheduled and not self.stuck:
            self.scheduled = True
            if not self.held:
                self.owner.schedule(self)
        if self.out.len > FLUSH_BYTES and not self.stuck:
            self.flush()
        elif self.stuck and not self.congested:
            self._watch_congestion()
        return 0

    cdef bint _open_batch(self, Py_ssize_t size) except -1:
        """Sees to it that a batch frame with room for so many bytes is open, and tells whether it is a new one.

        What a batch has before its payload suffices for the header of any length that it may reach.
        """
        if self.batch_at >= 0:
            if self.out.len - self.batch_at - self.batch_head + size <= BATCH_BYTES:
                return False
            self._close_batch()
        self.batch_head = <Py_ssize_t>lm_frame_header_size(<uint64_t>max(size, BATCH_BYTES), self.masked)
        if not reserve(&self.out, self.batch_head + size):
            raise MemoryError
        self.batch_at = self.out.len
        self.out.len += self.batch_head
        return True

    cdef void _close_batch(self) noexcept:
        """Writes the header of the open batch where it belongs; a short batch's is shorter, its payload is moved up."""
        cdef uint8_t* start = self.out.ptr + self.batch_at
        cdef Py_ssize_t length = self.out.len - self.batch_at - self.batch_head
        cdef uint32_t mask = lm_next_mask() if self.masked else 0
        cdef Py_ssize_t header = <Py_ssize_t>lm_frame_header_size(<uint64_t>length, self.masked)
        if self.masked:
            lm_frame_mask(start + self.batch_head, <size_t>length, mask)
        if header < self.batch_head:
            memmove(start + header, start + self.batch_head, <size_t>length)
            self.out.len -= self.batch_head - header
        lm_frame_header(start, BINARY, <uint64_t>length, self.masked, mask)
        self.batch_at = -1
        if self.keeps_frames and header < self.batch_head:
            self._shorten_last_frame(<uint32_t>(self.batch_head - header))

    cdef void _shorten_last_frame(self, uint32_t by) noexcept:
        """Corrects the size of the record that the last frame starts with."""
        cdef Py_ssize_t i
        for i in range(self.record_first + self.record_count - 1, self.record_first - 1, -1):
            if self.records[i].starts_frame:
                self.records[i].size -= by
                return

    # -- leaving -------------------------------------------------------------------------------------------------

    cpdef void flush(self) except *:
        """Hands everything queued to the socket, in one write."""
        self.scheduled = False
        if self.closed or self.stuck or self.out.len == 0:
            return
        if self.batch_at >= 0:
            self._close_batch()
        self.riding = self.record_count
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

    # -- bounds --------------------------------------------------------------------------------------------------

    cdef bint _make_room(self, Py_ssize_t size, Subject* subject) except -1:
        """Applies the overflow policy if the queue is full or too old; False if this message is the one dropped."""
        if not self.stuck or self.out.len + size <= self.limit and not self.too_old():
            return True
        if self.overflow == BLOCK:
            return True     # what has been read must go somewhere; the publishers are stopped
        if self.overflow == DROP_NEWEST:
            self.drop(subject, Drop.OVERFLOW, 1)
            return False
        if self.overflow == DROP_OLDEST:
            if self.out.len + size > self.limit:
                self._drop_oldest(self.out.len + size - self.limit // 4 * 3)
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
        cdef bint congested = self.stuck and 4 * self.out.len > self.limit
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
        return self.out.len
