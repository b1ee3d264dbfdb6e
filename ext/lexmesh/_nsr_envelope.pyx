"""What of an envelope is searched, for which rules, and where a find is.

The event type, the metadata, the content type and a `reply_to` that is no id are what a sender says; `source_node`,
`target_node` and ids are names, which are searched only for policies that ask for it.
"""

cimport cython
from libc.string cimport memset

from lexmesh._envelope cimport JSON_VALUE, OPAQUE_BYTES, PLAIN_TEXT
from lexmesh._nsr_codes cimport code_kinds
from lexmesh._nsr_filter cimport LM_TRIP_CODES, LM_TRIP_ESCAPE, LM_TRIP_HIGH, lm_stretch
from lexmesh._nsr_fold cimport SEPARATOR, fold
from lexmesh._nsr_json cimport is_json_like
from lexmesh._nsr_message cimport is_free_text
from lexmesh._nsr_payload cimport (
    AT_CONTENT_TYPE, AT_DATA, AT_EVENT_TYPE, AT_METADATA, AT_REPLY_TO, AT_SOURCE_NODE, AT_TARGET_NODE,
    lowest,
)
from lexmesh._nsr_text cimport IN_INSTRUCTION, IN_METADATA, IN_NAMES, IN_TELEMETRY
from lexmesh._nsr_wide cimport wide_forms
from lexmesh._span cimport same


cdef class EnvelopeScanner(MessageFilter):
    """Searches an envelope; a subclass says for which rules and what a find means."""

    cdef bint scan(self, Envelope* env, uint64_t active) noexcept nogil:
        """Searches all of the message. False: no memory."""
        cdef bint metadata_clean
        cdef uint64_t words = (self.in_scope[<int>PAYLOAD_KEYS] | self.in_scope[<int>PAYLOAD_STRINGS]
                               | self.in_scope[<int>RAW_BYTES]) & active
        if not self.is_clean(env, words != 0, self.is_in_strings(env, active), &metadata_clean):
            if not metadata_clean and not self.scan_metadata(env, active):
                return False
            if not self.scan_payload(env, active):
                return False
        if self.in_scope[<int>NAMES] & active and not self.scan_names(env, active):
            return False
        if self.requiring & active:
            self.require(env, active)
        return True

    cdef bint scan_root(self, Root root, Span text, const Want* want) noexcept nogil:
        self.root = root
        self.depth = 0
        return self.text(text, want, 0)

    cdef bint scan_names(self, Envelope* env, uint64_t active) noexcept nogil:
        """Searches what names the nodes, for a policy that asks for it. False: no memory."""
        cdef Want want
        memset(&want, 0, sizeof(want))
        want.words = self.in_scope[<int>NAMES] & active
        self.phase = IN_NAMES
        return (self.scan_root(AT_SOURCE_NODE, env.source_node, &want)
                and self.scan_root(AT_TARGET_NODE, env.target_node, &want)
                and self.scan_root(AT_REPLY_TO, env.reply_to, &want))

    cdef bint scan_metadata(self, Envelope* env, uint64_t active) noexcept nogil:
        """Searches the event type, the metadata, and what else is text of the sender's own. False: no memory."""
        cdef Py_ssize_t i
        cdef Want want
        memset(&want, 0, sizeof(want))
        self.phase = IN_METADATA
        want.words = self.in_scope[<int>EVENT_TYPE] & active
        if not self.scan_root(AT_EVENT_TYPE, env.event_type, &want):
            return False
        want.words = self.in_scope[<int>METADATA_VALUES] & active
        want.inner_keys = self.metadata_keys & active
        if not self.scan_root(AT_CONTENT_TYPE, env.content_type, &want):
            return False
        if is_free_text(env.reply_to) and not self.scan_root(AT_REPLY_TO, env.reply_to, &want):
            return False
        self.root = AT_METADATA
        self.depth = 1
        self.frames[0].is_array = self.frames[0].escaped = False
        for i in range(env.metadata_count):
            if not self.scan_pair(env.metadata[i].key, env.metadata[i].value, active):
                return False
        return True

    cdef bint scan_pair(self, Span key, Span value, uint64_t active) noexcept nogil:
        cdef Want want
        cdef uint64_t rules
        cdef bint refused
        self.frames[0].key = key
        want.words = self.in_scope[<int>METADATA_KEYS] & active
        want.keys = want.inner_keys = self.metadata_keys & active
        want.values = 0
        self.got_keys = 0
        if not self.text(key, &want, 0):
            return False
        rules = self.got_keys & self.wanted
        while rules:
            if not self.text_refused(lowest(rules), value, 0, &refused):
                return False
            if refused:
                self.found(rules & -rules)
            rules &= rules - 1
        want.words = self.in_scope[<int>METADATA_VALUES] & active
        want.keys = 0
        if not self.text(value, &want, 0) or not want.words & self.wanted:
            return True
        self.levels[0].joined.len = 0
        return self.join(key, 0) and self.join(value, 0) and self.match_joined(&want, 0)

    cdef bint scan_payload(self, Envelope* env, uint64_t active) noexcept nogil:
        cdef Want keys, strings
        self.root = AT_DATA
        self.depth = 0
        keys.words = self.in_scope[<int>PAYLOAD_KEYS] & active
        keys.keys = keys.inner_keys = self.payload_keys & active
        keys.values = strings.values = strings.keys = 0
        strings.words = self.in_scope[<int>PAYLOAD_STRINGS] & active
        strings.inner_keys = keys.keys
        if self.payload_is_clean(env, (keys.words | strings.words | self.in_scope[<int>RAW_BYTES] & active) != 0,
                                 self.is_in_strings(env, active)):
            return True
        if env.payload_kind == JSON_VALUE:
            if not self.walk(env.payload, &keys, &strings):
                return False
        elif env.payload_kind == PLAIN_TEXT and not self.text(env.payload, &strings, 0):
            return False
        if env.payload_kind != JSON_VALUE and (strings.words | strings.inner_keys) & self.wanted:
            if not self.wide(env.payload, &strings, 0):
                return False
        strings.words = self.in_scope[<int>RAW_BYTES] & active
        strings.inner_keys = 0
        self.depth = 0
        return strings.words == 0 or self.text(env.payload, &strings, 0)

    @cython.final
    cdef inline bint is_in_strings(self, const Envelope* env, uint64_t active) noexcept nogil:
        """Whether a quote in the payload ends what is searched: in text, and in JSON as it stands, it is punctuation."""
        return env.payload_kind == JSON_VALUE and not self.in_scope[<int>RAW_BYTES] & active

    cdef bint payload_is_clean(self, Envelope* env, bint words, bint in_strings) noexcept nogil:
        """Whether the prefilter proves that the payload holds nothing; `in_strings` is that of MessageFilter.is_clean."""
        cdef bint is_json = env.payload_kind == JSON_VALUE
        cdef lm_stretch unquoted
        cdef int trips
        self.phase = IN_INSTRUCTION if words else IN_TELEMETRY
        if env.payload.len == 0:
            return True
        if not is_json and wide_forms(env.payload):
            return False
        if env.payload_kind == OPAQUE_BYTES and not words:
            return True
        trips = self.trips(env.payload, in_strings, &unquoted)
        if trips & LM_TRIP_CODES and not (words and code_kinds(env.payload)):
            trips &= ~<int>LM_TRIP_CODES
        if not is_json:
            return trips == 0 and not is_json_like(env.payload)
        self.joinable = words and (trips & (LM_TRIP_HIGH | LM_TRIP_ESCAPE) != 0
                                   or self.instruction_filter.may_join_in_json(env.payload, unquoted))
        return trips == 0 and not self.joinable

    cdef void require(self, Envelope* env, uint64_t active) noexcept nogil:
        """Refuses a message without a metadata key that it needs, or with nothing to read in it."""
        cdef uint64_t rules = self.requiring & active & self.wanted
        cdef Py_ssize_t i
        cdef int rule
        self.root = AT_METADATA
        self.depth = 1
        self.frames[0].is_array = self.frames[0].escaped = False
        while rules:
            rule = lowest(rules)
            rules &= rules - 1
            self.frames[0].key = self.required[rule]
            for i in range(env.metadata_count):
                if same(env.metadata[i].key, self.required[rule]) and self.is_visible(env.metadata[i].value):
                    break
            else:
                self.found(1ull << rule)

    cdef bint is_visible(self, Span text) noexcept nogil:
        """Whether a text has a letter or digit."""
        cdef int seen = 0
        cdef Py_ssize_t i
        self.symbols.len = 0
        if not fold(text, &self.symbols, &seen):
            return False
        for i in range(self.symbols.len):
            if not self.symbols.flags[i] & SEPARATOR:
                return True
        return False
