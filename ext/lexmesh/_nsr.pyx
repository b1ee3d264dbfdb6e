"""The consent policy over one envelope: which rule refuses it, and where.

A rule is one of three kinds: it looks for words (markers), for keys with values (keys), or it requires a metadata key.
The rule reported is the first of the policy that the message breaks, and the place is where it first does.
"""

import time

from libc.stdint cimport uint8_t

from lexmesh._envelope cimport JSON, OPAQUE_BYTES, PROTO
from lexmesh._buffer cimport kept
from lexmesh._gil cimport let_others_run
from lexmesh._nsr_automaton cimport Automaton
from lexmesh._nsr_envelope cimport (
    EVENT_TYPE, METADATA_KEYS, METADATA_VALUES, NAMES, PAYLOAD_KEYS, PAYLOAD_STRINGS, RAW_BYTES,
)
from lexmesh._nsr_filter cimport Prefilter
from lexmesh._nsr_fold cimport MIN_SPACED, SPACE, kept_symbols
from lexmesh._nsr_payload cimport AT_DATA, NOWHERE, Values, lowest
from lexmesh._nsr_subject cimport lower, subject_matches
from lexmesh._nsr_text cimport IN_INSTRUCTION, IN_METADATA, IN_NAMES, IN_TELEMETRY, MAX_LEVELS, Level
from lexmesh._span cimport OK, Status, span
from lexmesh._status cimport reason_of

from lexmesh._nsr_rules import SCOPE_NAMES, Program

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    VALUE_READS = 64            # times the payload's length that values of keys may be read: its nesting
    TEXT_READS = 24             # times the message's length that texts may be searched: decoded, each is a text again
    SPARE_READS = 65536         # bytes more, for a message that is mostly names
    MOST_KEPT = 16384           # bytes of one scratch buffer that stay for the next message


cdef class Scanner(EnvelopeScanner):
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

    cdef _add_filters(self, list patterns, int vectors):
        """A prefilter for each phase, of the patterns that it looks for."""
        cdef uint64_t metadata = (self.in_scope[<int>METADATA_KEYS] | self.in_scope[<int>METADATA_VALUES]
                                  | self.in_scope[<int>EVENT_TYPE])
        cdef uint64_t payload = (self.in_scope[<int>PAYLOAD_KEYS] | self.in_scope[<int>PAYLOAD_STRINGS]
                                 | self.in_scope[<int>RAW_BYTES])
        cdef uint64_t names = self.in_scope[<int>NAMES]
        self.metadata_filter = filter_for(patterns, metadata, self.metadata_keys, vectors)
        self.instruction_filter = filter_for(patterns, payload, self.payload_keys, vectors)
        self.name_filter = filter_for(patterns, names, 0, vectors)
        self.telemetry_filter = filter_for(patterns, 0, self.payload_keys, vectors)
        self.whole_filter = filter_for(patterns, metadata | payload, self.metadata_keys | self.payload_keys, vectors)
        self.shortest[<int>IN_METADATA] = shortest_of(patterns, metadata, self.metadata_keys)
        self.shortest[<int>IN_INSTRUCTION] = shortest_of(patterns, payload, self.payload_keys)
        self.shortest[<int>IN_NAMES] = shortest_of(patterns, names, 0)
        self.shortest[<int>IN_TELEMETRY] = shortest_of(patterns, 0, self.payload_keys)

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
        self.begin_message()
        if (not self.scan(env, active) or self.too_deep) and self.verdict.rule < 0:
            self.verdict.rule = self.rule_count + 2
            self.place.root = NOWHERE
            self.place.depth = 0
        elif self.verdict.rule < 0 and self.opaque_denied and env.payload_kind == OPAQUE_BYTES:
            self.verdict.rule = self.rule_count
            self.place.root = AT_DATA
            self.place.depth = 0
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
                if self.verdict.rule < 0:       # the place of a denial stays
                    self.note_place()

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

    # -- memory ------------------------------------------------------------------------------------------------------

    cdef Py_ssize_t _kept(self, Py_ssize_t most) noexcept:
        """Bytes of scratch memory that are held, once each part of it over `most` bytes has been given back."""
        cdef Level* level
        cdef int i
        cdef Py_ssize_t total = kept(&self.leaf, most) + kept(&self.line, most)
        total += (kept_symbols(&self.symbols, most) + kept_symbols(&self.plain, most)
                  + kept_symbols(&self.spaced, most))
        for i in range(MAX_LEVELS + 1):
            level = &self.levels[i]
            total += (kept(&level.ascii, most) + kept(&level.variant, most) + kept(&level.unescaped, most)
                      + kept(&level.decoded, most) + kept(&level.joined_lines, most) + kept(&level.narrow, most)
                      + kept(&level.string, most) + kept_symbols(&level.joined, most))
        return total

    def trim(self):
        """Gives back the scratch memory that a large message has left behind; to be called between messages."""
        self._kept(MOST_KEPT)

    @property
    def capacity(self):
        """Bytes of scratch memory that the last messages have left behind."""
        return self._kept(PY_SSIZE_T_MAX)

    # -- faces -------------------------------------------------------------------------------------------------------

    cdef str rule_name(self, Verdict* verdict):
        return "" if verdict.rule < 0 else self.rules[verdict.rule]

    cdef str path(self):
        """Where the last refusal was, or the flag of what passed: `metadata.mode`, `data.steps[2].mode`, `event_type`.

        Empty for the whole message.
        """
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
    return Prefilter(wanted_of(patterns, words, keys), wanted_of(patterns, words, 0), vectors)


cdef list wanted_of(list patterns, uint64_t words, uint64_t keys):
    let_others_run()
    return [letters for letters, in_text, as_key, _ in patterns if in_text & words or as_key & keys]


cdef int shortest_of(list patterns, uint64_t words, uint64_t keys) except -1:
    """Letters of the shortest of them that may be set apart; a great many if there is none."""
    lengths = [len(letters) - letters.count(bytes([SPACE])) for letters in wanted_of(patterns, words, keys)]
    return min([length for length in lengths if length >= MIN_SPACED], default=1 << 30)
