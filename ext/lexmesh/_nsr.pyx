"""The consent policy over one envelope: which rule refuses it, and where.

A rule is one of three kinds: it looks for words (markers), for keys with values (keys), or it requires a metadata key.
The rule reported is the first of the policy that the message breaks, and the place is where it first does.
"""

import time

from libc.stdint cimport uint8_t
from libc.string cimport memset

from lexmesh._buffer cimport append_span, release, reserve
from lexmesh._envelope cimport JSON, JSON_VALUE, OPAQUE_BYTES, PLAIN_TEXT, PROTO, parse_id
from lexmesh._nsr_automaton cimport Automaton
from lexmesh._nsr_filter cimport LM_TRIP_ESCAPE, LM_TRIP_HIGH, Prefilter
from lexmesh._nsr_fold cimport SEPARATOR, fold
from lexmesh._nsr_json cimport is_json_like
from lexmesh._nsr_payload cimport (
    AT_CONTENT_TYPE, AT_DATA, AT_EVENT_TYPE, AT_METADATA, AT_REPLY_TO, AT_SOURCE_NODE, AT_TARGET_NODE, NOWHERE, Values,
)
from lexmesh._nsr_subject cimport lower, subject_matches
from lexmesh._nsr_text cimport IN_INSTRUCTION, IN_METADATA, IN_NAMES, IN_TELEMETRY
from lexmesh._nsr_wide cimport wide_forms
from lexmesh._span cimport OK, Status, same, span
from lexmesh._status cimport reason_of

from lexmesh._nsr_rules import SCOPE_NAMES, Program

cdef extern from "nsr_codes.h" nogil:
    size_t LM_CODES_PAD
    bint lm_may_hold_codes(const uint8_t* text, size_t length) noexcept

cdef enum:
    VALUE_READS = 64            # times the payload's length that values of keys may be read: its nesting
    TEXT_READS = 64             # times the message's length that texts may be searched: decoded, each is a text again
    SPARE_READS = 65536         # bytes more, for a message that is mostly names


cdef class Scanner(PayloadScanner):
    """A policy, compiled.

    Args:
        digest: SHA-256 of the policy's canonical content, hex.
        rules: RuleSpec of each rule, at most 60.
        opaque_denied: whether payloads that are not UTF-8 are refused.
        vectors: 0 for the scalar prefilter, 1 for 128-bit vectors, 2 for the fastest that the processor has.

    Raises:
        ValueError: too many rules, or a marker that has no letters.
    """

    def __init__(self, str digest not None, object rules not None, bint opaque_denied=False, int vectors=2):
        program = Program(rules, MAX_RULES)
        self.digest = digest
        self.opaque_denied = opaque_denied
        self.rules = (*program.names, "opaque", "malformed", "unscannable")
        self.rule_count = len(program.names)
        self.automaton = Automaton(program.patterns, program.exceptions)
        self.decoder = Decoder()
        self.kept = []
        self.blocks = []
        self.values = <Values*>self._block(MAX_RULES * sizeof(Values))
        for number, rule in enumerate(rules):
            self._add_rule(number, rule)
        self._add_filters(program.patterns, vectors)

    def __dealloc__(self):
        release(&self.line)

    cdef _add_filters(self, list patterns, int vectors):
        """A prefilter for each phase, of the patterns that it looks for."""
        cdef uint64_t metadata = (self.in_scope[<int>METADATA_KEYS] | self.in_scope[<int>METADATA_VALUES]
                                  | self.in_scope[<int>EVENT_TYPE])
        cdef uint64_t payload = (self.in_scope[<int>PAYLOAD_KEYS] | self.in_scope[<int>PAYLOAD_STRINGS]
                                 | self.in_scope[<int>RAW_BYTES])
        self.metadata_filter = filter_for(patterns, metadata, self.metadata_keys, vectors)
        self.instruction_filter = filter_for(patterns, payload, self.payload_keys, vectors)
        self.name_filter = filter_for(patterns, self.in_scope[<int>NAMES], 0, vectors)
        self.telemetry_filter = filter_for(patterns, 0, self.payload_keys, vectors)

    cdef void* _block(self, size_t size) except NULL:
        """Zeroed memory that lives as long as the scanner."""
        cdef bytearray memory = bytearray(size + 1)
        self.blocks.append(memory)
        return <void*><char*>memory

    cdef Span _keep(self, str text):
        cdef bytes data = text.encode()
        self.kept.append(data)
        return span(<const uint8_t*><const char*>data, len(data))

    cdef Span* _keep_all(self, object texts) except NULL:
        cdef Span* spans = <Span*>self._block((len(texts) + 1) * sizeof(Span))
        for i, text in enumerate(texts):
            spans[<Py_ssize_t>i] = self._keep(text)
        return spans

    cdef _add_rule(self, int number, object rule):
        cdef uint64_t bit = 1ull << number
        if rule.deny:
            self.denying |= bit
        if rule.requires:
            self.requiring |= bit
            self.required[number] = self._keep(rule.requires)
        if rule.markers:
            for i, name in enumerate(SCOPE_NAMES):
                if name in rule.scope:
                    self.in_scope[<int>i] |= bit
        if rule.keys:
            if "metadata keys" in rule.scope:
                self.metadata_keys |= bit
            if "payload keys" in rule.scope:
                self.payload_keys |= bit
        if rule.refused_values:
            self.with_values |= bit
        self.values[number].allowed = self._keep_all(rule.allowed_values)
        self.values[number].count = len(rule.allowed_values)
        if rule.subjects:
            self._add_subjects(number, [subject.lower() for subject in rule.subjects])
        else:
            self.everywhere |= bit

    cdef _add_subjects(self, int number, object subjects):
        cdef int first
        self.subjects[number].patterns = self._keep_all(subjects)
        self.subjects[number].count = len(subjects)
        for subject in subjects:
            for first in range(256):
                if subject[0] in "*>" or lower(<uint8_t>first) == subject.encode()[0]:
                    self.by_first[first] |= 1ull << number

    # -- verdicts ----------------------------------------------------------------------------------------------------

    cdef bint allows(self, Envelope* env, Verdict* verdict) noexcept nogil:
        """Whether the message passes; if not, `verdict.rule` says which rule it breaks. Fails closed."""
        cdef uint64_t active = self.applicable(env.event_type)
        self.verdict.rule = self.verdict.flag_rule = -1
        self.verdict.flagged = False
        self.place.root = NOWHERE
        self.place.depth = 0
        self.wanted = active
        self.value_budget = VALUE_READS * (env.raw.len + 64)
        self.work = TEXT_READS * env.raw.len + SPARE_READS
        self.too_deep = False
        if not self.scan(env, active) or (self.too_deep and self.verdict.rule < 0):
            self.verdict.rule = self.rule_count + 2
            self.place.root = NOWHERE
        elif self.verdict.rule < 0 and self.opaque_denied and env.payload_kind == OPAQUE_BYTES:
            self.verdict.rule = self.rule_count
            self.place.root = AT_DATA
        verdict[0] = self.verdict
        return self.verdict.rule < 0

    cdef void found(self, uint64_t rules) noexcept nogil:
        """Keeps the first rule of the policy and its first place; only rules before it are looked for from then on."""
        cdef int rule = 0
        rules &= self.wanted
        while rules:
            while not rules >> rule & 1:
                rule += 1
            rules &= rules - 1
            if self.denying >> rule & 1:
                self.verdict.rule = rule
                self.wanted &= (1ull << rule) - 1
                self.note_place()
                return
            self.wanted &= ~(1ull << rule)
            if not self.verdict.flagged or rule < self.verdict.flag_rule:
                self.verdict.flagged = True
                self.verdict.flag_rule = rule

    # -- the envelope ------------------------------------------------------------------------------------------------

    cdef bint scan(self, Envelope* env, uint64_t active) noexcept nogil:
        """Searches all of the message. False: no memory."""
        if not self.envelope_is_clean(env) and not self.scan_metadata(env, active):
            return False
        if self.in_scope[<int>NAMES] & active and not self.scan_names(env, active):
            return False
        if not self.scan_payload(env, active):
            return False
        if self.requiring & active:
            self.require(env, active)
        return True

    cdef bint envelope_is_clean(self, Envelope* env) noexcept nogil:
        """Whether the prefilter proves that type, metadata and the like hold nothing; False also without memory."""
        cdef Py_ssize_t room = env.event_type.len + env.reply_to.len + env.content_type.len + 2 + LM_CODES_PAD
        cdef Py_ssize_t i
        cdef Span key, value
        self.phase = IN_METADATA
        for i in range(env.metadata_count):
            room += env.metadata[i].key.len + env.metadata[i].value.len + 2
        self.line.len = 0
        if not reserve(&self.line, room):
            return False
        append_span(&self.line, env.event_type)
        for i in range(env.metadata_count):
            key, value = env.metadata[i].key, env.metadata[i].value
            if is_json_like(key) or is_json_like(value) or self.metadata_filter.may_join(key, value):
                return False
            add_to_line(&self.line, key)
            add_to_line(&self.line, value)
        if env.content_type.len:
            add_to_line(&self.line, env.content_type)
        if env.reply_to.len and is_free_text(env.reply_to):
            add_to_line(&self.line, env.reply_to)
        return self.line_is_clean()

    cdef bint line_is_clean(self) noexcept nogil:
        cdef Span line = span(self.line.ptr, self.line.len)
        memset(self.line.ptr + self.line.len, 0, LM_CODES_PAD)
        return self.trips(line, False) == 0 and (
            not lm_may_hold_codes(line.ptr, <size_t>line.len) or not self.holds_codes(line))

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
        if self.payload_is_clean(env, (keys.words | strings.words | self.in_scope[<int>RAW_BYTES] & active) != 0):
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

    cdef bint payload_is_clean(self, Envelope* env, bint words) noexcept nogil:
        """Whether the prefilter proves that the payload holds nothing."""
        cdef bint is_json = env.payload_kind == JSON_VALUE
        cdef int trips
        self.phase = IN_INSTRUCTION if words else IN_TELEMETRY
        if env.payload.len == 0:
            return True
        if not is_json and wide_forms(env.payload):
            return False
        if env.payload_kind == OPAQUE_BYTES and not words:
            return True
        trips = self.trips(env.payload, is_json)
        if not is_json:
            return trips == 0 and not is_json_like(env.payload) and not (words and self.holds_codes(env.payload))
        self.joinable = words and (trips & (LM_TRIP_HIGH | LM_TRIP_ESCAPE) != 0
                                   or self.instruction_filter.may_join_in_json(env.payload))
        return trips == 0 and not self.joinable and not (words and self.holds_codes(env.payload))

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

    cdef uint64_t applicable(self, Span event_type) noexcept nogil:
        """The rules that are for this event type."""
        cdef uint64_t rules = self.everywhere
        cdef uint64_t possible = self.by_first[event_type.ptr[0]] if event_type.len else 0
        cdef int rule, i
        while possible:
            rule = lowest(possible)
            possible &= possible - 1
            for i in range(self.subjects[rule].count):
                if subject_matches(self.subjects[rule].patterns[i], event_type):
                    rules |= 1ull << rule
                    break
        return rules

    # -- faces -------------------------------------------------------------------------------------------------------

    cdef str rule_name(self, Verdict* verdict):
        return "" if verdict.rule < 0 else self.rules[verdict.rule]

    cdef str path(self):
        """Where the last refusal was: `metadata.mode`, `data.steps[2].mode`, `event_type`; empty for the whole message."""
        return self.path_text()

    cdef _face(self, bytes raw, Format format):
        cdef Envelope env
        cdef Verdict verdict
        cdef Py_ssize_t at = 0
        cdef Status status = self.decoder.decode(span(<const uint8_t*><const char*>raw, len(raw)), format, &env, &at)
        if status != OK:
            return False, "malformed", f"{reason_of(status)} at byte {at}", ""
        if self.allows(&env, &verdict):
            return True, "", "", self.rules[verdict.flag_rule] if verdict.flagged else ""
        return False, self.rule_name(&verdict), self.path(), ""

    def scan_json(self, bytes raw not None):
        """Scans one JSON message.

        Returns:
            (allowed, rule, path, flag): for an undecodable message the rule is `malformed` and the path says why.
        """
        return self._face(raw, JSON)

    def scan_proto(self, bytes raw not None):
        """Scans one protobuf message; returns what scan_json does."""
        return self._face(raw, PROTO)

    def bench_loop(self, bytes raw not None, int format, Py_ssize_t count):
        """Scans one decoded message `count` times in a C loop.

        Args:
            raw: the message.
            format: 0 for JSON, 1 for protobuf.
            count: how often.

        Returns:
            Nanoseconds of processor time for all of it.
        """
        cdef Envelope env
        cdef Verdict verdict
        cdef Py_ssize_t at, i
        cdef Span text = span(<const uint8_t*><const char*>raw, len(raw))
        if self.decoder.decode(text, PROTO if format else JSON, &env, &at) != OK:
            raise ValueError("the message does not decode")
        started = time.thread_time_ns()
        for i in range(count):
            self.allows(&env, &verdict)
        return time.thread_time_ns() - started


cdef Prefilter filter_for(list patterns, uint64_t words, uint64_t keys, int vectors):
    """The prefilter of what some rules look for as words and others as keys."""
    wanted = [letters for letters, in_text, as_key, _ in patterns if in_text & words or as_key & keys]
    return Prefilter(wanted, [letters for letters, in_text, _, _ in patterns if in_text & words], vectors)


cdef inline bint is_free_text(Span reply_to) noexcept nogil:
    """Whether what should be an event's id is none: whatever its sender likes to say."""
    cdef Span source
    cdef uint64_t epoch, seq
    return reply_to.len != 0 and not parse_id(reply_to, &source, &epoch, &seq)


cdef inline void add_to_line(Buffer* line, Span text) noexcept nogil:
    line.ptr[line.len] = c'"'
    line.len += 1
    append_span(line, text)


cdef inline int lowest(uint64_t rules) noexcept nogil:
    cdef int rule = 0
    while not rules >> rule & 1:
        rule += 1
    return rule
