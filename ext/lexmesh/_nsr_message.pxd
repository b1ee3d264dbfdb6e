"""The prefilter over a whole message."""

from libc.stdint cimport uint8_t, uint64_t

from lexmesh._buffer cimport Buffer
from lexmesh._envelope cimport Envelope, PayloadKind, parse_id
from lexmesh._nsr_filter cimport Prefilter
from lexmesh._nsr_payload cimport PayloadScanner
from lexmesh._span cimport Span


cdef class MessageFilter(PayloadScanner):
    cdef Prefilter whole_filter         # of all rules, for metadata and payload at once
    cdef Buffer line                    # event type, metadata and a short payload, side by side

    cdef bint is_clean(self, const Envelope* env, bint words, bint in_strings, bint* metadata_clean) noexcept nogil
    cdef inline uint8_t* write_line(self, const Envelope* env) noexcept nogil
    cdef inline bint clean_line(self, Prefilter filter, Py_ssize_t length, Py_ssize_t json_from, Py_ssize_t codes_to) noexcept nogil
    cdef inline bint payload_joins(self, Span payload, PayloadKind kind, bint words) noexcept nogil


cdef inline bint is_free_text(Span reply_to) noexcept nogil:
    """Whether what should be an event's id is none: whatever its sender likes to say."""
    cdef Span source
    cdef uint64_t epoch, seq
    return reply_to.len != 0 and not parse_id(reply_to, &source, &epoch, &seq)
