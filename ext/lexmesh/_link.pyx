"""A WebSocket connection's inbound path: what frames mean.

A frame's payload lies in the read buffer and is gone when `frame` returns; the pipeline copies what outlives it.
"""

import logging
import sys

from picows import WSProtocolError

from libc.stdint cimport int64_t, uint8_t

from picows.picows cimport WSCloseHandshake, WSFrame, WSMsgType, WSTransport

from lexmesh._bucket cimport TokenBucket
from lexmesh._buffer cimport append, release, reserve
from lexmesh._clock cimport now_ms
from lexmesh._batch cimport next_in_batch
from lexmesh._envelope cimport JSON, PROTO
from lexmesh._outbox cimport Outbox
from lexmesh._pipeline cimport Core
from lexmesh._ledger cimport MALFORMED
from lexmesh._reader cimport Reader
from lexmesh._span cimport OK, Span, Status, is_utf8, span, utf8_prefix

cdef enum:
    FIN = 0x80                  # a frame's first byte, RFC 6455 section 5.2
    RESERVED = 0x70
    OPCODE = 0x0F
    PROTOCOL_ERROR = 1002       # close codes, RFC 6455 section 7.4.1
    NOT_UTF8 = 1007
    TOO_BIG = 1009

cdef double LINGER_SECONDS = 0.1    # for a close frame to arrive at who goes on sending

logger = logging.getLogger("lexmesh.websocket")
MAX_FRAME_MARGIN = BATCH_MARGIN

cdef frozenset CLOSE_CODES = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015)))     # below 3000, that may be sent


cdef class Link(Reader):
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
        Reader.__init__(self, core.read_buffer)
        self.core = core
        self.outbox = outbox
        self.owner = owner
        self.max_fragments = max_fragments
        self.bucket = bucket

    def __dealloc__(self):
        release(&self.partial)

    cpdef on_ws_connected(self, WSTransport transport):
        transport.underlying_transport.set_write_buffer_limits(high=0)
        self.attach(transport)
        transport.request = transport.response = None   # the handshake's headers have been read
        transport._logger.error = self.on_violation     # the connection's own: nothing else tells of it
        self.owner.on_connected(self)

    cpdef on_ws_disconnected(self, WSTransport transport):
        self.closing = True
        release(&self.partial)
        try:
            self.owner.on_disconnected(self)
        finally:
            self.detach()
            delattr(transport._logger, "error")

    cpdef pause_writing(self):
        pass        # the outbox asks the transport after each write

    cpdef resume_writing(self):
        if not self.outbox.closed:
            self.outbox.writable()

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        """Takes the first frames, which picows parses, and then the connection itself."""
        cdef int first = frame.fin << 7 | frame.rsv1 << 6 | frame.rsv2 << 5 | frame.rsv3 << 4 | frame.msg_type
        cdef int64_t now = now_ms()
        self.begins()
        try:
            self.frame(<uint8_t>first, span(<const uint8_t*>frame.payload_ptr, frame.payload_size), now)
        finally:
            if frame.last_in_buffer:
                self.served(now)
        if frame.last_in_buffer and frame.tail_size == 0 and not self.closing:
            self.largest_frame = self._largest(WSMsgType.BINARY)
            self.take_over()

    # -- what the reader calls -----------------------------------------------------------------------------------

    cdef int begins(self) except -1:
        self.outbox.hold()
        return 0

    cdef int served(self, int64_t now) except -1:
        try:
            if self.bucket is not None:
                self._charge(now)
        finally:
            self.outbox.let_go()
        return 0

    cdef int frame(self, uint8_t first, Span payload, int64_t now) except -1:
        cdef int opcode = first & OPCODE
        if self.closing:
            if opcode == WSMsgType.CLOSE and self.transport is not None:
                self.transport.disconnect()
            return 0
        self.work += 1
        if first & RESERVED:
            return self._close(PROTOCOL_ERROR, "reserved bits set without an extension")
        if 0 < opcode <= WSMsgType.BINARY and first & FIN and not self.partial_type:
            return self._message(opcode, payload, now)
        if opcode <= WSMsgType.BINARY:
            return self._data(opcode, first & FIN != 0, payload, now)
        if opcode == WSMsgType.PING:
            return self._pong(payload)
        return self._closed_by_peer(payload) if opcode == WSMsgType.CLOSE else 0

    cdef int violation(self, int code, str reason) except -1:
        cdef WSTransport transport = self.transport
        if self.closing:
            return 0
        self._close(code, reason)
        transport._loop.call_later(LINGER_SECONDS, (<object>transport).disconnect)
        return 0

    # -- messages ------------------------------------------------------------------------------------------------

    cdef int _data(self, int opcode, bint last, Span payload, int64_t now) except -1:
        if opcode == WSMsgType.CONTINUATION:
            if not self.partial_type:
                return self._close(PROTOCOL_ERROR, "a continuation of nothing")
        elif self.partial_type:
            return self._close(PROTOCOL_ERROR, "a new message inside a fragmented one")
        else:
            self.partial_type = opcode
        return self._fragment(payload, last, now)

    cdef int _fragment(self, Span payload, bint last, int64_t now) except -1:
        """Adds one fragment; bounded in number and in sum, so that empty ones cannot go on for ever.

        Text that cannot become UTF-8 any more fails at its fragment, not at the message's end (RFC 6455, section 8.1).
        """
        cdef Py_ssize_t whole
        self.fragments += 1
        if self.fragments > self.max_fragments:
            return self._close(TOO_BIG, f"more than {self.max_fragments} fragments")
        if self.partial.len + payload.len > self._largest(self.partial_type):
            return self._too_big(self.partial_type)
        if not reserve(&self.partial, payload.len):
            raise MemoryError
        append(&self.partial, payload.ptr, payload.len)
        if last:
            self._message(self.partial_type, span(self.partial.ptr, self.partial.len), now)
            release(&self.partial)
            self.partial_type = self.fragments = self.partial_whole = 0
        elif self.partial_type == WSMsgType.TEXT:
            whole = utf8_prefix(span(self.partial.ptr + self.partial_whole, self.partial.len - self.partial_whole))
            if whole < 0:
                return self._not_utf8()
            self.partial_whole += whole
        return 0

    cdef int _message(self, int opcode, Span payload, int64_t now) except -1:
        if opcode == WSMsgType.BINARY:
            return self._batch(payload, now)
        if payload.len > self._largest(opcode):
            return self._too_big(opcode)
        if self.core.take(payload, JSON, self.outbox, now) == MALFORMED and not is_utf8(payload):
            return self._not_utf8()
        return 0

    cdef inline Py_ssize_t _largest(self, int opcode) noexcept:
        """Bytes that a WebSocket message may have; a batch may frame one message of the largest size."""
        return self.core.max_message_size + (BATCH_MARGIN if opcode == WSMsgType.BINARY else 0)

    cdef int _batch(self, Span batch, int64_t now) except -1:
        """Takes in the events of one Batch in order. A batch that breaks off counts one malformed message."""
        cdef Py_ssize_t at = 0
        cdef Span event
        cdef Status status
        while at < batch.len and not self.closing:
            status = next_in_batch(batch, &at, &event)
            if status != OK:
                self.core._malformed(status, at, self.outbox)
                return 0
            self.core.take(event, PROTO, self.outbox, now)
            self.work += 1
        return 0

    cdef int _pong(self, Span payload) except -1:
        """Answers a ping (RFC 6455, section 5.5.3), unless the peer pings on and on and reads nothing."""
        if self.transport._tr_get_write_buffer_size() == 0:
            self.pongs = 0
        self.pongs += 1
        if self.pongs <= MAX_PONGS:
            self.transport.send_pong(payload.ptr[:payload.len])
        return 0

    cdef int _charge(self, int64_t now) except -1:
        """Pays for what this read brought; one who owes is not read from until the debt is paid."""
        cdef int64_t wait
        if self.work == self.paid:
            return 0
        wait = self.bucket.spend(self.work - self.paid, now)
        self.paid = self.work
        if wait > 0 and not self.closing:
            self.owner.on_throttled(wait)
        return 0

    # -- the end -------------------------------------------------------------------------------------------------

    cdef int _closed_by_peer(self, Span payload) except -1:
        """Checks a close frame (RFC 6455, section 5.5.1): nothing, or a code and a reason."""
        cdef Span reason
        if payload.len == 0:
            return self._ended_by_peer(0, "")
        if payload.len == 1:
            return self._refuse_close(PROTOCOL_ERROR, "half a close code")
        reason = span(payload.ptr + 2, payload.len - 2)
        if not is_utf8(reason):
            return self._refuse_close(NOT_UTF8, "a close reason that is not UTF-8")
        return self._ended_by_peer(payload.ptr[0] << 8 | payload.ptr[1] or -1, reason.ptr[:reason.len].decode())

    cdef int _ended_by_peer(self, int code, str reason) except -1:
        """Takes a close frame's code, 0 for none, if it is one that may be sent (RFC 6455, section 7.4)."""
        if code and not 3000 <= code < 5000 and code not in CLOSE_CODES:
            return self._refuse_close(PROTOCOL_ERROR, "a close code that must not be sent")
        self.closing = True
        self.owner.on_closed_by_peer(self, code, reason)
        return 0

    cdef int _refuse_close(self, int code, str reason) except -1:
        """Answers a close frame that is wrong; either way nothing follows it."""
        self._close(code, reason)
        self.transport.disconnect()
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
            self._ended_by_peer(handshake.recv.code, handshake.recv.reason or "")
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

    def take_freely(self):
        """Charges the peer for nothing any more."""
        self.bucket = None

    def stop_reading(self):
        """Looks at nothing that still arrives; what has been taken in goes on."""
        self.closing = True
