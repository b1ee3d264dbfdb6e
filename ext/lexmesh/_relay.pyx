"""Writes routed messages in the formats that their recipients want, framed, side by side: links that take the same
messages send the same bytes, and none of them copies any.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from lexmesh._buffer cimport kept, release, reserve
from lexmesh._emit cimport emit_json, emit_proto
from lexmesh._envelope cimport JSON, PROTO, Envelope, Format
from lexmesh._span cimport Span, put_varint, span, varint_size

cdef extern from "frame.h" nogil:
    size_t lm_frame_header_size(uint64_t length, int masked) noexcept
    size_t lm_frame_header(uint8_t* out, uint8_t opcode, uint64_t length, int masked, uint32_t mask) noexcept

cdef enum:
    TEXT = 1
    BINARY = 2
    BATCH_ELEMENT = 0x0A        # tag of Batch.events
    BATCH_BYTES = 65535         # of a batch: its length then fits the 16-bit form
    LARGE = 32768               # bytes of a batch's element that is not shared: batches are to be long
    MOST_SHARED = 524288        # bytes held in common; more, while somebody still holds the first, are copied to each
    SHORT_LENGTH = 126          # bytes of payload from which on a header has four bytes


cdef void init_relay(Relay* relay) noexcept nogil:
    memset(relay, 0, sizeof(Relay))
    relay.copies[<int>PROTO].format = PROTO


cdef void start_relay(Relay* relay, const Envelope* env) noexcept nogil:
    """Begins with another message."""
    relay.env = env
    relay.copies[<int>JSON].written = relay.copies[<int>PROTO].written = False


# -- writing -----------------------------------------------------------------------------------------------------

cdef inline void make_place(Copies* copies) noexcept nogil:
    """Finds where the next message goes: at the beginning once nobody holds anything."""
    if copies.holders == 0:
        copies.buffer.len = copies.piece = GAP
        copies.break_count = 0
        copies.before = -1
    else:
        if not copies.shared:
            copies.buffer.len = copies.start
        copies.before = copies.buffer.len
    copies.start = copies.buffer.len
    copies.shared = False


cdef inline Py_ssize_t head_size(Format format, Py_ssize_t length) noexcept nogil:
    return 1 + varint_size(<uint64_t>length) if format == PROTO else <Py_ssize_t>lm_frame_header_size(<uint64_t>length, False)


cdef bint write_copy(Relay* relay, Format format) noexcept nogil:
    """Writes the message in a format; False when memory is out."""
    cdef Copies* copies = &relay.copies[<int>format]
    cdef Py_ssize_t head = head_size(format, relay.env.raw.len)
    cdef Py_ssize_t length
    cdef uint8_t* at
    make_place(copies)
    if not reserve(&copies.buffer, MOST_HEAD):
        return False
    copies.buffer.len = copies.start + head
    if not (emit_proto(relay.env, &copies.buffer) if format == PROTO else emit_json(relay.env, &copies.buffer)):
        copies.buffer.len = copies.start
        return False
    length = copies.buffer.len - copies.start - head
    if head_size(format, length) != head:
        if not move_text(copies, copies.start + head, head_size(format, length) - head):
            return False
        head = head_size(format, length)
    copies.text = copies.start + head
    at = copies.buffer.ptr + copies.start
    if format == PROTO:
        at[0] = BATCH_ELEMENT
        put_varint(at + 1, <uint64_t>length)
    else:
        lm_frame_header(at, TEXT, <uint64_t>length, False, 0)
    copies.written = True
    copies.shared = copies.buffer.len <= MOST_SHARED or (format == JSON and copies.before < 0)
    if format == PROTO and copies.shared:
        copies.shared = length < LARGE and (copies.buffer.len - copies.piece <= BATCH_BYTES or begin_batch(copies))
    return True


cdef bint move_text(Copies* copies, Py_ssize_t at, Py_ssize_t by) noexcept nogil:
    """Moves what stands from `at` on; False when memory is out."""
    cdef uint8_t* text
    if by > 0 and not reserve(&copies.buffer, by):
        copies.buffer.len = copies.start
        return False
    text = copies.buffer.ptr + at
    memmove(text + by, text, <size_t>(copies.buffer.len - at))
    copies.buffer.len += by
    return True


cdef bint begin_batch(Copies* copies) noexcept nogil:
    """Has the last message begin a batch, with room for a header in front of it; False if there may be no more."""
    if copies.break_count == MOST_BREAKS or not reserve(&copies.buffer, GAP):
        return False
    move_text(copies, copies.start, GAP)
    copies.breaks[copies.break_count] = copies.start
    copies.break_count += 1
    copies.start += GAP
    copies.text += GAP
    copies.piece = copies.start
    return True


# -- what an outbox holds ----------------------------------------------------------------------------------------

cdef inline Py_ssize_t batch_end(const Run* run, Py_ssize_t start) noexcept nogil:
    """Where the batch ends that has its first element at `start`."""
    cdef int i
    for i in range(run.of.break_count):
        if start < run.of.breaks[i] < run.end:
            return run.of.breaks[i]
    return run.end


cdef bint next_batch(Run* run, Span* elements) noexcept nogil:
    """Takes one batch, or all text frames, from the beginning of a run; False if there is no more."""
    cdef Py_ssize_t end
    if run.start >= run.end:
        return False
    end = batch_end(run, run.start) if run.of.format == PROTO else run.end
    elements[0] = span(run.of.buffer.ptr + run.start, end - run.start)
    run.start = end + GAP
    return True


cdef bint next_part(Run* run, Span* part, uint8_t* covered) noexcept nogil:
    """Takes from the beginning of a run what can be written at once; False if there is no more.

    Headers of batches are written in front of them. The GAP bytes before the first element may belong to a message that
    this run does not hold: they are kept in `covered`, for `uncover` to put them back.
    """
    cdef uint8_t* base = run.of.buffer.ptr
    cdef Py_ssize_t start = run.start
    cdef Py_ssize_t end, following
    cdef Py_ssize_t head
    if start >= run.end:
        return False
    memcpy(covered, base + start - GAP, GAP)
    if run.of.format == JSON:
        part[0] = span(base + start, run.end - start)
        run.start = run.end
        return True
    end = batch_end(run, start)
    head = <Py_ssize_t>lm_frame_header_size(<uint64_t>(end - start), False)
    lm_frame_header(base + start - head, BINARY, <uint64_t>(end - start), False, 0)
    while end < run.end:
        following = batch_end(run, end + GAP)
        if following - end - GAP < SHORT_LENGTH:    # its header does not fill the gap: it is written apart
            break
        lm_frame_header(base + end, BINARY, <uint64_t>(following - end - GAP), False, 0)
        end = following
    part[0] = span(base + start - head, end - start + head)
    run.start = end + GAP if end < run.end else end
    return True


cdef void end_run(Run* run) noexcept nogil:
    """Holds nothing any more."""
    if run.of != NULL:
        run.of.holders -= 1
        run.of = NULL


# -- memory ------------------------------------------------------------------------------------------------------

cdef Py_ssize_t kept_relay(Relay* relay, Py_ssize_t most) noexcept nogil:
    """Bytes of memory that are held, once each buffer over `most` bytes has been given back.

    One stays as long as an outbox holds some of its messages. While a message is relayed `most` must have no end.
    """
    cdef Py_ssize_t total = 0
    cdef Copies* copies
    cdef int i
    for i in range(2):
        copies = &relay.copies[i]
        total += copies.buffer.capacity if copies.holders else kept(&copies.buffer, most)
    return total


cdef void release_relay(Relay* relay) noexcept nogil:
    release(&relay.copies[<int>JSON].buffer)
    release(&relay.copies[<int>PROTO].buffer)
