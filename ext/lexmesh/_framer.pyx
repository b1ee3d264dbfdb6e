"""What leaves on one link as frames: of its own, or held in common with others who get the same."""

import os

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memmove

from lexmesh._buffer cimport append, append_span, release, reserve
from lexmesh._envelope cimport JSON, PROTO
from lexmesh._relay cimport Run, end_run, next_batch
from lexmesh._router cimport Subject
from lexmesh._sender cimport Sender
from lexmesh._span cimport Span, put_varint

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

lm_seed_masks(int.from_bytes(os.urandom(8), "little"))


cdef class Framer(Sender):
    """A link's frames that have not left; when they do is for a subclass."""

    def __cinit__(self):
        self.batch_at = -1

    def __dealloc__(self):
        release(&self.out)

    cdef int _queued(self, Subject* subject, Py_ssize_t size, bint starts) except -1:
        """Learns of so many more bytes; `starts`: they begin a frame."""
        return 0

    cdef int put(self, Span message, Subject* subject) except -1:
        """Frames one message and sees to it that it leaves."""
        cdef uint32_t mask = lm_next_mask() if self.masked else 0
        cdef uint8_t head[MAX_HEADER]
        cdef Py_ssize_t size
        cdef bint starts = True
        if self.run.of != NULL:
            self._own_run()
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
        cdef bint starts
        if self.run.of != NULL:
            self._own_run()
        starts = self.format == JSON or self._open_batch(message.len)
        if not reserve(&self.out, message.len):
            raise MemoryError
        append_span(&self.out, message)
        return self._queued(subject, message.len, starts)

    cdef int _own_run(self) except -1:
        """Copies what is held in common with others, since something that they do not get is to follow it."""
        cdef Run run = self.run
        cdef Span elements
        if not reserve(&self.out, run.end - run.start):
            raise MemoryError
        while next_batch(&run, &elements):
            if self.format == PROTO:
                self._open_batch(elements.len)
            append_span(&self.out, elements)
        end_run(&self.run)
        return 0

    cdef bint _open_batch(self, Py_ssize_t size) except -1:
        """Sees to it that a batch frame with room for so many bytes is open, and tells whether it is a new one.

        What a batch has before its payload suffices for the header of any length that it may reach.
        """
        if self.bare:
            return True
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
