"""The consent policy over one envelope: which rule refuses it, and where."""

from libc.stdint cimport uint8_t, uint64_t

from lexmesh._decoder cimport Decoder
from lexmesh._envelope cimport Envelope, Format
from lexmesh._nsr_envelope cimport MAX_RULES, EnvelopeScanner
from lexmesh._span cimport Span

cdef struct Verdict:
    int rule            # index into Scanner.rules; -1: allowed
    bint flagged        # a rule with action "flag" matched (recorded, passes)
    int flag_rule


cdef struct Subjects:
    # The event types a rule is for, as patterns; none: all.
    Span* patterns
    int count


cdef class Scanner(EnvelopeScanner):
    cdef readonly tuple rules           # names in order, then opaque, malformed and unscannable
    cdef readonly str digest
    cdef int rule_count
    cdef bint opaque_denied
    cdef uint64_t denying               # rules with action "deny"
    cdef uint64_t everywhere            # rules without subjects
    cdef Subjects subjects[MAX_RULES]
    cdef uint64_t by_first[256]         # rules with a subject that may begin with a byte
    cdef list kept                      # the bytes that spans of rules point into
    cdef list blocks                    # the arrays of such spans
    cdef Decoder decoder
    cdef Verdict verdict

    cdef void* _block(self, size_t size) except NULL
    cdef Span _keep(self, str text)
    cdef Span* _keep_all(self, object texts) except NULL
    cdef _add_rule(self, int number, object rule)
    cdef _face(self, bytes raw, Format format)
    cdef bint allows(self, Envelope* env, Verdict* verdict) noexcept nogil
    cdef _add_filters(self, list patterns, int most)
    cdef _add_subjects(self, int number, object subjects)
    cdef uint64_t applicable(self, Span event_type) noexcept nogil
    cdef Py_ssize_t _kept(self, Py_ssize_t most) noexcept
    cdef str rule_name(self, Verdict* verdict)
    cdef str path(self)
