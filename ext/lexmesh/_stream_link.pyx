"""A link over a stream of Batches that somebody else carries, such as a gRPC call.

Both halves are here: nothing has to be unframed. What leaves waits as it does for a WebSocket, without frames: elements
of Batches side by side are a Batch, and the stream takes as much of it at a time as it may hold. A message counts as
delivered once the stream has taken the Batch that holds it. A stream that breaks takes nothing along: its successor is
given the same Batch again, and whoever got it twice finds the duplicates by their numbers.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t

from lexmesh._batch cimport next_in_batch
from lexmesh._buffer cimport Buffer, release
from lexmesh._clock cimport now_ms
from lexmesh._envelope cimport PROTO
from lexmesh._ledger cimport Drop
from lexmesh._outbox cimport FLUSH_BYTES, QUIET_BYTES, Outbox
from lexmesh._span cimport OK, Span, Status, span

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

MOST_BATCH_BYTES = MOST_BATCH


cdef class StreamLink(Outbox):
    """A link as an endpoint; arguments as for Outbox, whose owner also has on_batch().

    Whoever carries the stream gives `front` to it, again and again, and calls `written` when it has been taken;
    `on_batch` tells that there is something after there was nothing. What comes is for `receive`.
    """

    def __dealloc__(self):
        release(&self.leaving)

    def begin(self, uint64_t epoch, bint accepts):
        """Takes messages from now on, whether or not there is a stream already.

        Args:
            epoch: stamp for what comes in on this link without a name.
            accepts: whether the peer has dialled; its first source then gives the link its name.
        """
        self.format = PROTO
        self.bare = True
        self.epoch = epoch
        self.seq = 0
        self.closed = False
        self.nameless = accepts
        self.stuck = self.scheduled = self.held = self.deaf = False

    def close(self, int reason=<int>Drop.DISCONNECTED):
        """Ends the link; what still waits is dropped and counted."""
        release(&self.leaving)
        self.taken = self.front_size = self.ahead = 0
        Outbox.close(self, reason)

    def take_no_more(self):
        """Looks at nothing more of what comes, what is left of the Batch being taken in included."""
        self.deaf = True

    def carried(self, bint carried):
        """Says whether there is a stream now. While there is none, a peer that comes by another may take the name."""
        self.away = not carried

    def receive(self, bytes batch not None, int64_t now):
        """Takes in the events of one Batch in order. A batch that breaks off counts one malformed message.

        Args:
            batch: a serialised Batch.
            now: milliseconds since 1970-01-01 UTC.

        Returns:
            How many of its events were looked at.
        """
        cdef Span whole = span(<const uint8_t*>PyBytes_AS_STRING(batch), PyBytes_GET_SIZE(batch))
        cdef Span event
        cdef Status status = OK
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t count = 0
        self.hold()
        try:
            while at < whole.len and status == OK and not self.closed and not self.deaf:
                status = next_in_batch(whole, &at, &event)
                count += 1
                if status == OK:
                    self.core.take(event, PROTO, self, now)
                else:
                    self.core._malformed(status, at, self)
        finally:
            self.let_go()
        return count

    # -- leaving -------------------------------------------------------------------------------------------------

    cpdef void flush(self) except *:
        """Readies everything queued for the stream, unless that still has something to take."""
        cdef Buffer emptied
        self.scheduled = False
        if self.closed or self.stuck:
            return
        if self.run.of != NULL:
            self._own_run()
        if self.out.len == 0:
            return
        emptied = self.leaving
        self.leaving = self.out
        self.out = emptied
        self.riding = self.record_count
        self.ahead = self.leaving.len
        self.stuck = True
        self.stuck_since = now_ms()
        self.owner.on_batch()

    def front(self):
        """The Batch that the stream is to take next, the same until it has been taken.

        Returns:
            A serialised Batch, None while there is nothing.
        """
        if self.front_size == 0 and self.ahead:
            self._cut()
        if self.front_size == 0:
            return None
        return PyBytes_FromStringAndSize(<const char*>self.leaving.ptr + self.taken, self.front_size)

    @property
    def front_messages(self):
        """How many messages are in what `front` gives."""
        return self.front_count

    def refuse(self, str reason not None):
        """Counts something that came and is no Batch as one malformed message, and records it.

        Args:
            reason: why it is none.
        """
        self.core.refuse(reason, self)

    cdef void _cut(self) noexcept nogil:
        """Finds how many whole messages fit a Batch; at least one."""
        cdef Span whole = span(self.leaving.ptr + self.taken, self.ahead)
        cdef Span event
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t most = self._most_together()
        self.front_count = 0
        while at < whole.len and self.front_count < most and next_in_batch(whole, &at, &event) == OK:
            if at > MOST_BATCH and self.front_count:
                return
            self.front_count += 1
            self.front_size = at

    cdef Py_ssize_t _most_together(self) noexcept nogil:
        """How many messages one Batch may have."""
        return PY_SSIZE_T_MAX

    def written(self):
        """The stream has taken what `front` gave it."""
        self.taken += self.front_size
        self.ahead -= self.front_size
        self.front_size = 0
        self._settle_messages(self.front_count)
        self.front_count = 0
        if self.ahead:
            self.stuck_since = now_ms()
            self._watch_congestion()
            return
        self.taken = self.leaving.len = 0
        if self.leaving.capacity > 4 * FLUSH_BYTES:
            release(&self.leaving)
        if not self.closed:
            self.writable()

    def trim(self):
        """Gives back what a burst left behind, once nothing waits."""
        if self.ahead == 0 and self.leaving.capacity > QUIET_BYTES:
            release(&self.leaving)
        Outbox.trim(self)
