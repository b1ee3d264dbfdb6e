"""A link that sends every WebSocket message back: the inbound path without what lies behind it, for protocol suites."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t

from picows.picows cimport WSMsgType, WSTransport

from lexmesh._link cimport Link
from lexmesh._span cimport Span, is_utf8

cdef enum:
    MOST_UNREAD = 1 << 20   # bytes; past this, nothing more is read until the peer takes its echoes


cdef class EchoLink(Link):
    """A Link that answers text with the same text and binary with the same bytes."""

    cdef bint waiting       # for the peer to read

    cdef int _message(self, int opcode, Span payload, int64_t now) except -1:
        if opcode == WSMsgType.TEXT and not is_utf8(payload):
            return self._not_utf8()
        if payload.len > self._largest(opcode):
            return self._too_big(opcode)
        self.transport.send(<WSMsgType>opcode, PyBytes_FromStringAndSize(<const char*>payload.ptr, payload.len))
        if not self.waiting and <Py_ssize_t>self.transport._tr_get_write_buffer_size() > MOST_UNREAD:
            self.waiting = True
            self.owner.pause()
        return 0

    cpdef resume_writing(self):
        if self.waiting:
            self.waiting = False
            self.owner.resume()
