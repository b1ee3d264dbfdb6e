"""Routed messages on their way out, framed once for all who take them."""

from libc.stdint cimport uint8_t

from lexmesh._buffer cimport Buffer
from lexmesh._envelope cimport Envelope, Format
from lexmesh._span cimport Span

cdef enum:
    MOST_HEAD = 14          # bytes of a WebSocket frame's header; a Batch's tag and length have fewer
    GAP = 4                 # bytes left free where the header of a batch's frame is to stand: it has two or four
    MOST_BREAKS = 16        # batches in one Copies


cdef struct Copies:
    # Messages in one format, each with its head (a text frame's header, or a Batch's tag and length), side by side, for
    # as long as an outbox holds some of them. Where a batch would grow too long the next one begins, GAP bytes further.
    Buffer buffer
    Format format
    bint written            # the last message has been
    bint shared             # and may be held; else it is overwritten by the next
    Py_ssize_t before       # where the message before it ends, -1 if there is none
    Py_ssize_t start        # where its head begins
    Py_ssize_t text         # where it begins itself
    Py_ssize_t holders      # outboxes that hold some of these messages
    Py_ssize_t piece        # where the last batch begins
    Py_ssize_t breaks[MOST_BREAKS]      # where the ones before it end
    int break_count


cdef struct Run:
    # What an outbox holds: neighbours among the messages of a Copies.
    Copies* of              # NULL: nothing
    Py_ssize_t start, end


cdef struct Relay:
    # One routed message, written at most once in each format, however many links take it.
    const Envelope* env
    Copies copies[2]        # by Format


cdef void init_relay(Relay* relay) noexcept nogil
cdef void start_relay(Relay* relay, const Envelope* env) noexcept nogil
cdef bint write_copy(Relay* relay, Format format) noexcept nogil
cdef bint next_part(Run* run, Span* part, uint8_t* covered) noexcept nogil
cdef bint next_batch(Run* run, Span* elements) noexcept nogil
cdef void end_run(Run* run) noexcept nogil
cdef Py_ssize_t kept_relay(Relay* relay, Py_ssize_t most) noexcept nogil
cdef void release_relay(Relay* relay) noexcept nogil


cdef inline Span framed(const Copies* copies) noexcept nogil:
    """The last message as a server sends it: a text frame, or an element of a Batch. Valid until the next message."""
    return Span(copies.buffer.ptr + copies.start, copies.buffer.len - copies.start)


cdef inline Span unframed(const Copies* copies) noexcept nogil:
    """The last message alone."""
    return Span(copies.buffer.ptr + copies.text, copies.buffer.len - copies.text)


cdef inline bint extend(Run* run, Copies* copies) noexcept nogil:
    """Adds the last message to a run; False if it does not stand behind what the run holds, or may not be held."""
    if not copies.shared:
        return False
    if run.of == NULL:
        run.of = copies
        run.start = copies.start
        copies.holders += 1
    elif run.end != copies.before:
        return False
    run.end = copies.buffer.len
    return True
