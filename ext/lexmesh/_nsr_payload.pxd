"""A JSON payload, walked with the path of where it stands."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from lexmesh._buffer cimport Buffer
from lexmesh._nsr_json cimport Token
from lexmesh._nsr_text cimport TextScanner
from lexmesh._nsr_words cimport Want
from lexmesh._span cimport Span

cdef enum:
    MAX_FRAMES = 64             # nesting of a payload; the decoder refuses more
    MAX_KEY_SHOWN = 800         # bytes of a key kept for a path: 64 characters as surrogate escapes, and some


cdef enum Root:
    NOWHERE
    AT_EVENT_TYPE
    AT_METADATA
    AT_DATA
    AT_SOURCE_NODE
    AT_TARGET_NODE
    AT_REPLY_TO
    AT_CONTENT_TYPE


cdef struct Frame:
    # One object or array that the walk is inside of.
    bint is_array
    bint escaped                # the key still has its JSON escapes
    uint32_t index
    Span key


cdef struct Place:
    # Where a refusal was. Keys are copied, since the message will be gone.
    Root root
    int depth
    Frame frames[MAX_FRAMES]
    uint8_t keys[MAX_FRAMES][MAX_KEY_SHOWN]


cdef struct Values:
    # The values of a key that a rule lets pass, in lower case.
    Span* allowed
    int count


cdef class PayloadScanner(TextScanner):
    cdef Root root
    cdef int depth                      # frames in use
    cdef Frame frames[MAX_FRAMES]
    cdef Place place
    cdef Values* values                 # by rule
    cdef uint64_t with_values           # key rules that name the values they refuse
    cdef Py_ssize_t value_budget        # bytes of values that may still be read to see whether they are negative
    cdef Buffer leaf
    cdef bint joinable                  # markers may be split over strings of this payload

    cdef void note_place(self) noexcept nogil
    cdef bint walk(self, Span json, const Want* key_want, const Want* string_want) noexcept nogil
    cdef bint numbers_of_array(self, const uint8_t* first, const uint8_t* last, const Want* want) noexcept nogil
    cdef void enter_or_leave(self, int kind) noexcept nogil
    cdef bint walk_key(self, const Token* token, Span rest, const Want* want) noexcept nogil
    cdef bint walk_string(self, const Token* token, const Want* want) noexcept nogil
    cdef bint match_joined_here(self, const Want* want, int floor) noexcept nogil
    cdef bint value_refused(self, int rule, Span rest, int level, bint* refused) noexcept nogil
    cdef bint leaf_refused(self, int rule, const Token* token, int level, bint* refused) noexcept nogil
    cdef bint text_refused(self, int rule, Span text, int level, bint* refused) noexcept nogil
    cdef object path_text(self)


cdef inline int lowest(uint64_t rules) noexcept nogil:
    """The first of some rules, which are not none."""
    cdef int rule = 0
    while not rules >> rule & 1:
        rule += 1
    return rule
