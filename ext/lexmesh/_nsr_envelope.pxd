"""What of an envelope is searched, for which rules, and where a find is."""

from libc.stdint cimport uint64_t

from lexmesh._envelope cimport Envelope
from lexmesh._nsr_message cimport MessageFilter
from lexmesh._nsr_payload cimport Root
from lexmesh._nsr_words cimport Want
from lexmesh._span cimport Span

cdef enum:
    MAX_RULES = 60


cdef enum Scope:
    METADATA_KEYS
    METADATA_VALUES
    EVENT_TYPE
    PAYLOAD_KEYS
    PAYLOAD_STRINGS
    RAW_BYTES
    NAMES
    SCOPES


cdef class EnvelopeScanner(MessageFilter):
    cdef uint64_t in_scope[SCOPES]      # word rules
    cdef uint64_t metadata_keys, payload_keys       # key rules
    cdef uint64_t requiring             # rules that require a metadata key
    cdef Span required[MAX_RULES]

    cdef bint scan(self, Envelope* env, uint64_t active) noexcept nogil
    cdef bint is_visible(self, Span text) noexcept nogil
    cdef inline bint is_in_strings(self, const Envelope* env, uint64_t active) noexcept nogil
    cdef bint payload_is_clean(self, Envelope* env, bint words, bint in_strings) noexcept nogil
    cdef bint scan_root(self, Root root, Span text, const Want* want) noexcept nogil
    cdef bint scan_names(self, Envelope* env, uint64_t active) noexcept nogil
    cdef bint scan_metadata(self, Envelope* env, uint64_t active) noexcept nogil
    cdef bint scan_pair(self, Span key, Span value, uint64_t active) noexcept nogil
    cdef bint scan_payload(self, Envelope* env, uint64_t active) noexcept nogil
    cdef void require(self, Envelope* env, uint64_t active) noexcept nogil
