"""A WebSocket connection's inbound path, on picows' frames.

A frame's payload lies in the read buffer and is gone when `on_ws_frame` returns; the pipeline copies what outlives it.
"""

import gc
import logging
import sys

from picows import WSProtocolError

from libc.stdint cimport int64_t, uint8_t

from picows.picows cimport MemoryBuffer, WSCloseHandshake, WSFrame, WSListener, WSMsgType, WSTransport

from lexmesh._bucket cimport TokenBucket
from lexmesh._buffer cimport append, release, reserve
from lexmesh._clock cimport now_ms
from lexmesh._batch cimport next_in_batch
from lexmesh._envelope cimport JSON, PROTO
from lexmesh._outbox cimport Outbox
from lexmesh._pipeline cimport Core
from lexmesh._ledger cimport MALFORMED
from lexmesh._span cimport OK, Span, Status, is_utf8, span, utf8_prefix

cdef enum:
    PROTOCOL_ERROR = 1002       # close codes, RFC 6455 section 7.4.1
    NOT_UTF8 = 1007
    TOO_BIG = 1009
    SPARE_BYTES = 256           # that the frame layer keeps free at a read buffer's end, for vectors that read past it
    QUIET_BYTES = 512           # of a read buffer without those, once nothing comes; with less it would lose them as it grows
    READ_BYTES = 16384          # of one that has been given back although something comes
    GROWN_BYTES = 131072        # of one that is not given back while something comes

READ_BUFFER = 2048              # a new connection's: the least that the frame layer takes

logger = logging.getLogger("lexmesh.websocket")
MAX_FRAME_MARGIN = BATCH_MARGIN


cdef class Link(WSListener):
    """One connection, either side.

    Args:
        core: the node's pipeline.
        outbox: the same link's outbound half.
        owner: has on_connected(link), on_disconnected(link), on_closed_by_peer(link, code, reason),
            on_violation(link), close_link(link, code, reason), on_throttled(milliseconds).
        max_fragments: fragments that one message may have, empty ones included.
        bucket: what frames and the events of batches are charged to; None to take them as fast as they come.
    """

    def __init__(self, Core core not None, Outbox outbox not None, owner, int max_fragments, TokenBucket bucket=None):
        self.core = core
        self.outbox = outbox
        self.owner = owner
        self.max_fragments = max_fragments
        self.bucket = bucket

    def __dealloc__(self):
        release(&self.partial)

    cpdef on_ws_connected(self, WSTransport transport):
        self.transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=0)
        self.protocol = transport.underlying_transport.get_protocol()
        self.read_buffer = _read_buffer_of(self.protocol)
        transport.request = transport.response = None   # the handshake's headers have been read
        transport._logger.error = self.on_violation     # the connection's own: nothing else tells of it
        self.owner.on_connected(self)

    cpdef on_ws_disconnected(self, WSTransport transport):
        self.closing = True
        self.protocol = self.read_buffer = None
        release(&self.partial)
        try:
            self.owner.on_disconnected(self)
        finally:
            # Else the read buffer and the request would wait in a cycle for the garbage collector.
            self.transport = None
            delattr(transport._logger, "error")

    cpdef pause_writing(self):
        pass        # the outbox asks the transport after each write

    cpdef resume_writing(self):
        if not self.outbox.closed:
            self.outbox.writable()

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        self.outbox.hold()
        try:
            self._serve(transport, frame)
        finally:
            if frame.last_in_buffer:
                self.outbox.let_go()

    cdef int _serve(self, WSTransport transport, WSFrame frame) except -1:
        cdef int opcode = frame.msg_type
        if self.closing:
            if opcode == WSMsgType.CLOSE:
                transport.disconnect()
            return 0
        self.work += 1
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._close(PROTOCOL_ERROR, "reserved bits set without an extension")
        elif opcode == WSMsgType.TEXT or opcode == WSMsgType.BINARY:
            if self.partial_type:
                self._close(PROTOCOL_ERROR, "a new message inside a fragmented one")
            elif frame.fin:
                self._message(opcode, span(<const uint8_t*>frame.payload_ptr, frame.payload_size))
            else:
                self.partial_type = opcode
                self._fragment(frame)
        elif opcode == WSMsgType.CONTINUATION:
            if not self.partial_type:
                self._close(PROTOCOL_ERROR, "a continuation of nothing")
            else:
                self._fragment(frame)
        elif opcode == WSMsgType.PING:
            self._pong(transport, frame)
        elif opcode == WSMsgType.CLOSE:
            self._closed_by_peer(frame.get_close_code(), frame.get_close_reason(), frame.payload_size)
        if frame.last_in_buffer and self.bucket is not None:
            self._charge()
        return 0

    cdef int _fragment(self, WSFrame frame) except -1:
        """Adds one fragment; bounded in number and in sum, so that empty ones cannot go on for ever.

        Text that cannot become UTF-8 any more fails at its fragment, not at the message's end (RFC 6455, section 8.1).
        """
        cdef Py_ssize_t whole
        self.fragments += 1
        if self.fragments > self.max_fragments:
            return self._close(TOO_BIG, f"more than {self.max_fragments} fragments")
        if self.partial.len + frame.payload_size > self._largest(self.partial_type):
            return self._too_big(self.partial_type)
        if not reserve(&self.partial, frame.payload_size):
            raise MemoryError
        append(&self.partial, frame.payload_ptr, frame.payload_size)
        if frame.fin:
            self._message(self.partial_type, span(self.partial.ptr, self.partial.len))
            release(&self.partial)
            self.partial_type = self.fragments = self.partial_whole = 0
        elif self.partial_type == WSMsgType.TEXT:
            whole = utf8_prefix(span(self.partial.ptr + self.partial_whole, self.partial.len - self.partial_whole))
            if whole < 0:
                return self._not_utf8()
            self.partial_whole += whole
        return 0

    cdef int _message(self, int opcode, Span payload) except -1:
        if opcode == WSMsgType.BINARY:
            return self._batch(payload)
        if payload.len > self._largest(opcode):
            return self._too_big(opcode)
        if self.core.take(payload, JSON, self.outbox, now_ms()) == MALFORMED and not is_utf8(payload):
            return self._not_utf8()
        return 0

    cdef inline Py_ssize_t _largest(self, int opcode) noexcept:
        """Bytes that a WebSocket message may have; a batch may frame one message of the largest size."""
        return self.core.max_message_size + (BATCH_MARGIN if opcode == WSMsgType.BINARY else 0)

    cdef int _batch(self, Span batch) except -1:
        """Takes in the events of one Batch in order. A batch that breaks off counts one malformed message."""
        cdef Py_ssize_t at = 0
        cdef Span event
        cdef Status status
        cdef int64_t now = now_ms()
        while at < batch.len and not self.closing:
            status = next_in_batch(batch, &at, &event)
            if status != OK:
                self.core._malformed(status, at, self.outbox)
                return 0
            self.core.take(event, PROTO, self.outbox, now)
            self.work += 1
        return 0

    cdef int _pong(self, WSTransport transport, WSFrame frame) except -1:
        """Answers a ping (RFC 6455, section 5.5.3), unless the peer pings on and on and reads nothing."""
        if transport._tr_get_write_buffer_size() == 0:
            self.pongs = 0
        self.pongs += 1
        if self.pongs <= MAX_PONGS:
            transport.send_pong(frame.get_payload_as_bytes())
        return 0

    cdef int _charge(self) except -1:
        """Pays for what this read brought; one who owes is not read from until the debt is paid."""
        cdef int64_t wait = self.bucket.spend(self.work - self.paid, now_ms())
        self.paid = self.work
        if wait > 0 and not self.closing:
            self.owner.on_throttled(wait)
        return 0

    cdef int _closed_by_peer(self, int code, object reason, Py_ssize_t size) except -1:
        # The frame layer lets these pass; none may be sent (RFC 6455, sections 7.4.1 and 7.4.2).
        if size and (code == 0 or code == 1006 or code > 4999):
            self._close(PROTOCOL_ERROR, "a close code that must not be sent")
            self.transport.disconnect()
            return 0
        self.closing = True
        self.owner.on_closed_by_peer(self, code, reason or "")
        return 0

    def on_violation(self, *told, **_options):
        """What the frame layer calls, as its log, before it closes for a violation or an exception of ours.

        It reads one frame ahead. If that one breaks the rules and the one before it is a close frame, the peer is
        answered as if it had sent nothing more: what follows a close frame does not count (RFC 6455, section 5.5.1).
        """
        cdef WSCloseHandshake handshake = self.transport.close_handshake
        if sys.exc_info()[0] is not None and not issubclass(sys.exc_info()[0], WSProtocolError):
            logger.error(*told, exc_info=True)
        if not self.closing and handshake is not None and handshake.recv is not None:
            self._closed_by_peer(handshake.recv.code, handshake.recv.reason, handshake.recv.code)
        else:
            self.owner.on_violation(self)

    cdef int _too_big(self, int opcode) except -1:
        return self._close(TOO_BIG, f"message over {self._largest(opcode)} bytes")

    cdef int _not_utf8(self) except -1:
        return self._close(NOT_UTF8, "text that is not UTF-8")

    cdef int _close(self, int code, str reason) except -1:
        self.closing = True
        self.owner.close_link(self, code, reason)
        return 0

    def stop_reading(self):
        """Looks at nothing that still arrives; what has been taken in goes on."""
        self.closing = True

    @property
    def pending(self):
        """Bytes of a frame that has begun to arrive and is not there yet; 0 where the read buffer cannot be reached."""
        if self.read_buffer is None:
            return 0
        return self.read_buffer.size - len(self.protocol.get_buffer(-1))

    @property
    def read_capacity(self):
        """Bytes of memory that the read buffer takes; 0 where it cannot be reached."""
        return 0 if self.read_buffer is None else self.read_buffer.capacity

    def trim(self):
        """Gives back a read buffer that a large frame or a burst left behind; the frame layer only ever grows it.

        To be called now and then, not while a frame is being served, which points into that buffer. A link that has had
        no frame since the last call keeps the least.
        """
        cdef bint quiet = self.work == self.trimmed_at
        self.trimmed_at = self.work
        if quiet:
            self.rest()
        elif self.read_capacity > GROWN_BYTES:
            self._give_back(READ_BYTES)

    def rest(self):
        """Keeps the least memory that can still be read into; for a link that nothing may come from for long."""
        cdef WSTransport transport = self.transport
        self._give_back(QUIET_BYTES)
        if transport is not None and transport._write_buffer.capacity > SPARE_BYTES:
            transport._write_buffer._reserve(-SPARE_BYTES)  # it adds twice that; only pongs and close frames use it

    cdef int _give_back(self, Py_ssize_t size) except -1:
        """Leaves a read buffer of `size` bytes, a multiple of 256, if what is in it fills no more than half of that."""
        cdef MemoryBuffer buffer = self.read_buffer
        if buffer is not None and buffer.capacity > size + SPARE_BYTES and self.pending <= size // 2:
            buffer._reserve(size - SPARE_BYTES)     # it adds twice that
            buffer.size = size                      # as the frame layer leaves it
        return 0


cdef MemoryBuffer _read_buffer_of(protocol):
    """The frame layer's read buffer, which has no public name.

    On Windows a read may be under way into it at any time, so that it is left alone.
    """
    if sys.platform != "win32":
        for part in gc.get_referents(protocol):
            if isinstance(part, MemoryBuffer):
                return part
    return None
