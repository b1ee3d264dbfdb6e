"""One text through every stage: each reading of it is matched, each decoding of it is a text again."""

cimport cython
from libc.stdint cimport uint8_t, uint64_t

from lexmesh._buffer cimport Buffer
from lexmesh._nsr_blob cimport Alphabet
from lexmesh._nsr_filter cimport Prefilter, lm_stretch
from lexmesh._nsr_fold cimport Symbols
from lexmesh._nsr_json cimport Token
from lexmesh._nsr_memo cimport Key, Memo
from lexmesh._nsr_words cimport Want, WordScanner
from lexmesh._span cimport Span

cdef enum:
    MAX_LEVELS = 8          # the text itself and seven decodings on top of each other


cdef enum Phase:
    IN_METADATA             # and in the event type
    IN_INSTRUCTION          # a payload that is searched for words
    IN_NAMES                # of nodes
    IN_TELEMETRY            # a payload of which only the keys matter
    PHASES


cdef struct Level:
    Buffer ascii            # with lookalikes as ASCII
    Buffer variant          # what tag characters spell, or an override shows
    Buffer unescaped
    Buffer decoded
    Buffer joined_lines     # an encoding without its line breaks
    Buffer narrow           # UTF-16 or UTF-32 as UTF-8
    Buffer string           # a JSON string without its escapes
    Symbols joined          # consecutive strings of an array, or a key and its value
    int joined_seen


cdef class TextScanner(WordScanner):
    cdef Prefilter metadata_filter, instruction_filter, name_filter, telemetry_filter
    cdef Phase phase
    cdef int shortest[PHASES]               # letters of the shortest pattern of each phase, of those that may be set apart
    cdef Level levels[MAX_LEVELS + 1]
    cdef Py_ssize_t work                    # bytes of text that may still be searched in this message
    cdef bint too_deep                      # something was decoded as often as may be, and could be once more
    cdef Memo memo
    cdef uint64_t message                   # its number; with `part`, of all numbers that this scanner has given
    cdef uint64_t part                      # the text or key since which `got_keys` and `got_values` are collected
    cdef uint64_t numbered                  # the last number given
    cdef int reached                        # the deepest level of the decodings of the text being searched

    cdef bint key_found(self, uint64_t rules, Span rest, int level) noexcept nogil
    cdef int trips(self, Span text, bint is_json, lm_stretch* unquoted) noexcept nogil
    cdef bint text(self, Span text, const Want* want, int level) noexcept nogil
    @cython.final
    cdef inline uint64_t begin_part(self) noexcept nogil:
        self.numbered += 1
        self.part = self.numbered
        return self.part

    @cython.final
    cdef inline void begin_message(self) noexcept nogil:
        self.message = self.begin_part()
        self.too_deep = False

    cdef bint deeper(self, Span text, const Want* want, int level) noexcept nogil
    cdef Key key_of_search(self, Span text, const Want* want) noexcept nogil
    cdef void reach(self, int level) noexcept nogil
    cdef bint variants(self, Span text, const Want* want, int seen, int level) noexcept nogil
    cdef bint decodings(self, Span text, int trips, const Want* want, int level) noexcept nogil
    cdef bint as_ascii(self, Span text, const Want* want, int level) noexcept nogil
    cdef bint unescaped(self, Span text, const Want* want, int level) noexcept nogil
    cdef bint unquoted(self, Span text, const Want* want, int level) noexcept nogil
    cdef bint blobs(self, Span text, Alphabet alphabet, const Want* want, int level) noexcept nogil
    cdef bint wrapped(self, Span text, Alphabet alphabet, const Want* want, int level) noexcept nogil
    cdef bint blob(self, Span run, Alphabet alphabet, const Want* want, int level) noexcept nogil
    cdef bint bytes_found(self, Span data, const Want* want, int level) noexcept nogil
    cdef bint wide(self, Span data, const Want* want, int level) noexcept nogil
    cdef bint spreads(self, Span text, const Want* want, int level) noexcept nogil
    cdef bint numbers(self, Span text, const Want* want, int level) noexcept nogil
    cdef bint inner_json(self, Span text, const Want* want, int level) noexcept nogil
    cdef bint inner_key(self, Span key, Span rest, const Want* want, int level) noexcept nogil
    cdef bint string_text(self, const Token* token, int level, Span* out) noexcept nogil
    cdef bint join(self, Span text, int level) noexcept nogil
    cdef bint match_joined(self, const Want* want, int level) noexcept nogil
