"""A WebSocket connection's inbound path, on picows' frames.

A frame's payload lies in the read buffer and is gone when `on_ws_frame` returns; the pipeline copies what outlives it.
"""

from libc.stdint cimport int64_t, uint8_t

from picows.picows cimport WSFrame, WSMsgType, WSTransport

from lexmesh._buffer cimport append, release, reserve
from lexmesh._clock cimport now_ms
from lexmesh._batch cimport next_in_batch
from lexmesh._envelope cimport JSON, PROTO
from lexmesh._outbox cimport Outbox
from lexmesh._pipeline cimport Core
from lexmesh._ledger cimport MALFORMED
from lexmesh._reader cimport Reader
from lexmesh._span cimport OK, Span, Status, is_utf8, span

cdef enum:
    FIN = 0x80                  # a frame's first byte, RFC 6455 section 5.2
    RESERVED = 0x70
    OPCODE = 0x0F
    PROTOCOL_ERROR = 1002       # close codes, RFC 6455 section 7.4.1
    NOT_UTF8 = 1007
    TOO_BIG = 1009

MAX_FRAME_MARGIN = BATCH_MARGIN

cdef frozenset CLOSE_CODES = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015)))     # below 3000, that may be sent


cdef class Link(Reader):
    """One connection, either side.

    Args:
        core: the node's pipeline.
        outbox: the same link's outbound half.
        owner: has on_connected(link), on_disconnected(link), close(code, reason).
        max_fragments: fragments that one message may have, empty ones included.
    """

    def __init__(self, Core core not None, Outbox outbox not None, owner, int max_fragments):
        Reader.__init__(self, core.read_buffer)
        self.core = core
        self.outbox = outbox
        self.owner = owner
        self.max_fragments = max_fragments

    def __dealloc__(self):
        release(&self.partial)

    cpdef on_ws_connected(self, WSTransport transport):
        self.transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=0)
        self.owner.on_connected(self)

    cpdef on_ws_disconnected(self, WSTransport transport):
        self.closing = True
        release(&self.partial)
        self.owner.on_disconnected(self)

    cpdef pause_writing(self):
        pass        # the outbox asks the transport after each write

    cpdef resume_writing(self):
        if not self.outbox.closed:
            self.outbox.writable()

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        """Takes the first frames, which picows parses, and then the connection itself."""
        cdef int first = frame.fin << 7 | frame.rsv1 << 6 | frame.rsv2 << 5 | frame.rsv3 << 4 | frame.msg_type
        self.frame(<uint8_t>first, span(<const uint8_t*>frame.payload_ptr, frame.payload_size), now_ms())
        if frame.last_in_buffer and frame.tail_size == 0 and not self.closing:
            self.largest_frame = self._largest(WSMsgType.BINARY)
            self.take_over()

    cdef int frame(self, uint8_t first, Span payload, int64_t now) except -1:
        cdef int opcode = first & OPCODE
        if self.closing:
            if opcode == WSMsgType.CLOSE:
                self.transport.disconnect()
            return 0
        if first & RESERVED:
            return self._close(PROTOCOL_ERROR, "reserved bits set without an extension")
        if opcode == WSMsgType.TEXT or opcode == WSMsgType.BINARY:
            if self.partial_type:
                return self._close(PROTOCOL_ERROR, "a new message inside a fragmented one")
            if first & FIN:
                return self._message(opcode, payload, now)
            self.partial_type = opcode
            return self._fragment(payload, False, now)
        return self._control(opcode, payload) if opcode else self._fragment(payload, first & FIN != 0, now)

    cdef int violation(self, int code, str reason) except -1:
        return 0 if self.closing else self._close(code, reason)

    cdef int _control(self, int opcode, Span payload) except -1:
        if opcode == WSMsgType.PING:
            return self._pong(payload)
        return self._closed_by_peer(payload) if opcode == WSMsgType.CLOSE else 0

    cdef int _closed_by_peer(self, Span payload) except -1:
        """Checks the code and the reason of a close frame (RFC 6455, sections 5.5.1 and 7.4)."""
        cdef int code = payload.ptr[0] << 8 | payload.ptr[1] if payload.len > 1 else 0
        cdef Span reason = span(payload.ptr + 2, payload.len - 2) if payload.len > 1 else span(payload.ptr, 0)
        if payload.len == 1 or (code and code < 3000 and code not in CLOSE_CODES) or (payload.len > 1 and code == 0):
            return self._close(PROTOCOL_ERROR, "a close code that must not be sent")
        if not is_utf8(reason):
            return self._close(NOT_UTF8, "a close reason that is not UTF-8")
        self.closing = True
        self.owner.on_closed_by_peer(self, code, reason.ptr[:reason.len].decode())
        return 0

    cdef int _fragment(self, Span payload, bint last, int64_t now) except -1:
        """Adds one fragment; bounded in number and in sum, so that empty ones cannot go on for ever."""
        if not self.partial_type:
            return self._close(PROTOCOL_ERROR, "a continuation of nothing")
        self.fragments += 1
        if self.fragments > self.max_fragments:
            return self._close(TOO_BIG, f"more than {self.max_fragments} fragments")
        if self.partial.len + payload.len > self._largest(self.partial_type):
            return self._close(TOO_BIG, f"message over {self._largest(self.partial_type)} bytes")
        if not reserve(&self.partial, payload.len):
            raise MemoryError
        append(&self.partial, payload.ptr, payload.len)
        if last:
            self._message(self.partial_type, span(self.partial.ptr, self.partial.len), now)
            release(&self.partial)
            self.partial_type = self.fragments = 0
        return 0

    cdef int _message(self, int opcode, Span payload, int64_t now) except -1:
        if opcode == WSMsgType.BINARY:
            return self._batch(payload, now)
        if payload.len > self._largest(opcode):
            return self._close(TOO_BIG, f"message over {self._largest(opcode)} bytes")
        if self.core.take(payload, JSON, self.outbox, now) == MALFORMED and not is_utf8(payload):
            return self._close(NOT_UTF8, "text that is not UTF-8")
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
        return 0

    cdef int _pong(self, Span payload) except -1:
        """Answers a ping (RFC 6455, section 5.5.3), unless the peer pings on and on and reads nothing."""
        if self.transport._tr_get_write_buffer_size() == 0:
            self.pongs = 0
        self.pongs += 1
        if self.pongs <= MAX_PONGS:
            self.transport.send_pong(payload.ptr[:payload.len])
        return 0

    cdef int _close(self, int code, str reason) except -1:
        self.closing = True
        self.owner.close_link(self, code, reason)
        return 0

    def stop_reading(self):
        """Looks at nothing that still arrives; what has been taken in goes on."""
        self.closing = True
