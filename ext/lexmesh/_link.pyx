"""A WebSocket connection's inbound path, on picows' frames.

A frame's payload lies in the read buffer and is gone when `on_ws_frame` returns; the pipeline copies what outlives it.
"""

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t

from picows.picows cimport WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from lexmesh._buffer cimport append, release, reserve
from lexmesh._clock cimport now_ms
from lexmesh._batch cimport next_in_batch
from lexmesh._envelope cimport JSON, PROTO
from lexmesh._outbox cimport Outbox
from lexmesh._pipeline cimport Core
from lexmesh._ledger cimport MALFORMED
from lexmesh._span cimport OK, Span, Status, is_utf8, span

cdef enum:
    PROTOCOL_ERROR = 1002       # close codes, RFC 6455 section 7.4.1
    NOT_UTF8 = 1007
    TOO_BIG = 1009

MAX_FRAME_MARGIN = BATCH_MARGIN


cdef class Link(WSListener):
    """One connection, either side.

    Args:
        core: the node's pipeline.
        outbox: the same link's outbound half.
        owner: has on_connected(link), on_disconnected(link), close(code, reason).
        max_fragments: fragments that one message may have, empty ones included.
    """

    def __init__(self, Core core not None, Outbox outbox not None, owner, int max_fragments):
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
        cdef int opcode = frame.msg_type
        if self.closing:
            if opcode == WSMsgType.CLOSE:
                transport.disconnect()
            return
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
            self.closing = True
            self.owner.on_closed_by_peer(self, frame.get_close_code(), frame.get_close_reason() or "")

    cdef int _fragment(self, WSFrame frame) except -1:
        """Adds one fragment; bounded in number and in sum, so that empty ones cannot go on for ever."""
        self.fragments += 1
        if self.fragments > self.max_fragments:
            return self._close(TOO_BIG, f"more than {self.max_fragments} fragments")
        if self.partial.len + frame.payload_size > self._largest(self.partial_type):
            return self._close(TOO_BIG, f"message over {self._largest(self.partial_type)} bytes")
        if not reserve(&self.partial, frame.payload_size):
            raise MemoryError
        append(&self.partial, frame.payload_ptr, frame.payload_size)
        if frame.fin:
            self._message(self.partial_type, span(self.partial.ptr, self.partial.len))
            release(&self.partial)
            self.partial_type = self.fragments = 0
        return 0

    cdef int _message(self, int opcode, Span payload) except -1:
        if opcode == WSMsgType.BINARY:
            return self._batch(payload)
        if payload.len > self._largest(opcode):
            return self._close(TOO_BIG, f"message over {self._largest(opcode)} bytes")
        if self.core.take(payload, JSON, self.outbox, now_ms()) == MALFORMED and not is_utf8(payload):
            return self._close(NOT_UTF8, "text that is not UTF-8")
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
        return 0

    cdef int _pong(self, WSTransport transport, WSFrame frame) except -1:
        """Answers a ping (RFC 6455, section 5.5.3), unless the peer pings on and on and reads nothing."""
        if transport._tr_get_write_buffer_size() == 0:
            self.pongs = 0
        self.pongs += 1
        if self.pongs <= MAX_PONGS:
            transport.send_pong(frame.get_payload_as_bytes())
        return 0

    cdef int _close(self, int code, str reason) except -1:
        self.closing = True
        self.owner.close_link(self, code, reason)
        return 0

    def stop_reading(self):
        """Looks at nothing that still arrives; what has been taken in goes on."""
        self.closing = True
