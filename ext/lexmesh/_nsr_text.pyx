"""One text through every stage.

The stages, in order:

0. The prefilter (_nsr_filter) says which of them are needed.
1. `fold` (_nsr_fold): case, NFKC, lookalikes, leetspeak; invisible characters and marks dropped.
2. `match_variants`: what tag characters spell, and what right-to-left overrides show.
3. `match_readings`: punctuation that can pass for letters read as either; letters set apart closed up.
4. `unescaped` (_nsr_escape): percent signs, HTML entities, backslashes.
5. `blobs` (_nsr_blob): base64 and hex of plausible text.
6. `inner_json` (_nsr_json): JSON inside a string, its keys and strings, and those joined.

Stages 4 to 6 make texts again, up to MAX_LEVELS on top of each other. Each is at most as long as its source but for
a constant, so the work is linear in the message.
"""

from libc.stdint cimport uint8_t

from lexmesh._buffer cimport release, reserve
from lexmesh._nsr_automaton cimport Automaton, Hit, Search, begin, crosses_edge, is_whole, is_word
from lexmesh._nsr_blob cimport BASE64, BASE64_URL, HEX, decode_run, is_plausible, next_run
from lexmesh._nsr_escape cimport unescape_text
from lexmesh._nsr_filter cimport (
    LM_TRIP_ALL, LM_TRIP_BASE64, LM_TRIP_ESCAPE, LM_TRIP_HEX, LM_TRIP_HIGH, LM_TRIP_SPACED, LM_TRIP_WORD,
)
from lexmesh._nsr_fold cimport (
    SEEN_OVERRIDE, SEEN_SYMBOLIC, SEEN_TAG, fold, free_symbols, override_text, spaced_letters, symbolic_as_separators,
    tag_text,
)
from lexmesh._nsr_json cimport (
    CLOSE, COMMA, END, KEY, OPEN_ARRAY, OPEN_OBJECT, SCALAR, STRING, is_json_like, next_token, unescape_string,
)
from lexmesh._span cimport span


cdef class TextScanner:
    """Searches texts for the patterns of an automaton; a subclass says what a find means."""

    def __dealloc__(self):
        cdef int i
        free_symbols(&self.symbols)
        free_symbols(&self.plain)
        free_symbols(&self.spaced)
        release(&self.variant)
        for i in range(MAX_LEVELS):
            release(&self.levels[i].unescaped)
            release(&self.levels[i].decoded)
            release(&self.levels[i].string)
            free_symbols(&self.levels[i].joined)

    cdef void found(self, uint64_t rules) noexcept nogil:
        """Called with the rules that a word of the text being searched breaks."""

    cdef bint key_found(self, uint64_t rules, Span rest, int level) noexcept nogil:
        """Called with the rules that a key of inner JSON belongs to; `rest` is what follows its colon. False: no memory."""
        return True

    cdef int trips(self, Span text, bint is_json) noexcept nogil:
        """What the prefilter of this phase says of a text."""
        if self.phase == IN_METADATA:
            return self.metadata_filter.trips(text, is_json)
        if self.phase == IN_INSTRUCTION:
            return self.instruction_filter.trips(text, is_json)
        return self.telemetry_filter.trips(text, is_json)

    cdef bint text(self, Span text, const Want* want, int level) noexcept nogil:
        """Searches a text and all that it decodes to. False: no memory."""
        cdef int trips
        if text.len == 0 or not (want.words | want.keys | want.values | want.inner_keys) & self.wanted:
            return True
        # The prefilter knows no values.
        trips = <int>LM_TRIP_ALL if want.values else self.trips(text, False)
        if trips & (LM_TRIP_WORD | LM_TRIP_HIGH | LM_TRIP_SPACED) and not self.match(text, want):
            return False
        if level + 1 == MAX_LEVELS:
            return True
        if trips & LM_TRIP_ESCAPE and not self.unescaped(text, want, level):
            return False
        if trips & LM_TRIP_BASE64 and not (self.blobs(text, BASE64, want, level)
                                           and self.blobs(text, BASE64_URL, want, level)):
            return False
        if trips & LM_TRIP_HEX and not self.blobs(text, HEX, want, level):
            return False
        return self.inner_json(text, want, level)

    # -- readings of the same text -----------------------------------------------------------------------------------

    cdef bint match(self, Span text, const Want* want) noexcept nogil:
        cdef int seen = 0
        self.symbols.len = 0
        if not fold(text, &self.symbols, &seen) or not self.match_readings(want, seen, False):
            return False
        return seen & (SEEN_TAG | SEEN_OVERRIDE) == 0 or self.match_variants(text, want, seen)

    cdef bint match_variants(self, Span text, const Want* want, int seen) noexcept nogil:
        """What tag characters spell, and the order that overrides show."""
        cdef int ignored = 0
        self.variant.len = 0
        if not reserve(&self.variant, text.len):
            return False
        if seen & SEEN_TAG:
            self.symbols.len = 0
            if not fold(span(self.variant.ptr, tag_text(text, self.variant.ptr)), &self.symbols, &ignored):
                return False
            if not self.match_readings(want, SEEN_SYMBOLIC, False):
                return False
        if seen & SEEN_OVERRIDE:
            self.symbols.len = 0
            if not fold(span(self.variant.ptr, override_text(text, self.variant.ptr)), &self.symbols, &ignored):
                return False
            return self.match_readings(want, SEEN_SYMBOLIC, False)
        return True

    cdef bint match_readings(self, const Want* want, int seen, bint edges) noexcept nogil:
        """Matches `self.symbols`, with letterlike punctuation read as letters and then as punctuation."""
        if not self.match_symbols(&self.symbols, want, edges):
            return False
        if seen & SEEN_SYMBOLIC:
            return symbolic_as_separators(&self.symbols, &self.plain) and self.match_symbols(&self.plain, want, edges)
        return True

    cdef bint match_symbols(self, const Symbols* symbols, const Want* want, bint edges) noexcept nogil:
        cdef Search search = begin()
        cdef Hit hit
        cdef uint64_t rules
        while self.automaton.next_hit(symbols, &search, &hit):
            if edges and not crosses_edge(symbols, &hit):
                continue
            rules = hit.pattern.in_text & want.words
            if rules and hit.pattern.exceptions >= 0:
                rules &= ~self.automaton.excepted(symbols, &hit)
            if rules and is_word(symbols, &hit):
                self.found(rules)
            if hit.pattern.as_key & want.keys | hit.pattern.as_value & want.values and is_whole(symbols, &hit):
                self.got_keys |= hit.pattern.as_key & want.keys
                self.got_values |= hit.pattern.as_value & want.values
        return edges or self.match_spaced(symbols, want)

    cdef bint match_spaced(self, const Symbols* symbols, const Want* want) noexcept nogil:
        """Letters set apart are words of their own wherever they begin and end."""
        cdef Search search = begin()
        cdef Hit hit
        cdef bint whole
        if not spaced_letters(symbols, &self.spaced, &whole):
            return False
        while self.automaton.next_hit(&self.spaced, &search, &hit):
            if hit.pattern.in_text & want.words:
                self.found(hit.pattern.in_text & want.words)
            if whole and hit.start == 0 and hit.end + 1 == self.spaced.len:
                self.got_keys |= hit.pattern.as_key & want.keys
                self.got_values |= hit.pattern.as_value & want.values
        return True

    # -- decodings ---------------------------------------------------------------------------------------------------

    cdef bint unescaped(self, Span text, const Want* want, int level) noexcept nogil:
        cdef Buffer* out = &self.levels[level].unescaped
        cdef bint changed
        if not unescape_text(text, out, &changed):
            return False
        return not changed or self.text(span(out.ptr, out.len), want, level + 1)

    cdef bint blobs(self, Span text, Alphabet alphabet, const Want* want, int level) noexcept nogil:
        """Decodes each run of the alphabet; hex of odd length from its second digit too."""
        cdef Py_ssize_t at = 0
        cdef Span run
        while next_run(text, alphabet, &at, &run):
            if not self.blob(run, alphabet, want, level):
                return False
            if alphabet == HEX and run.len & 1 and not self.blob(span(run.ptr + 1, run.len - 1), alphabet, want, level):
                return False
        return True

    cdef bint blob(self, Span run, Alphabet alphabet, const Want* want, int level) noexcept nogil:
        cdef Buffer* out = &self.levels[level].decoded
        if not decode_run(run, alphabet, out):
            return False
        return not is_plausible(span(out.ptr, out.len)) or self.text(span(out.ptr, out.len), want, level + 1)

    # -- JSON inside a string ----------------------------------------------------------------------------------------

    cdef bint inner_json(self, Span text, const Want* want, int level) noexcept nogil:
        """Searches the keys and strings of a text that begins like JSON, each alone and joined to its neighbours."""
        cdef const uint8_t* cursor = text.ptr
        cdef const uint8_t* end = text.ptr + text.len
        cdef Want inside = want[0]
        cdef Symbols* joined = &self.levels[level + 1].joined
        cdef Token token
        cdef Span string
        if not is_json_like(text):
            return True
        inside.keys = inside.values = 0
        joined.len = 0
        while True:
            next_token(&cursor, end, &token)
            if token.kind == KEY or token.kind == STRING:
                if not self.string_text(&token, level + 1, &string):
                    return False
            if token.kind == STRING:
                if not self.text(string, &inside, level + 1) or not self.join(string, level + 1):
                    return False
            elif token.kind != OPEN_ARRAY and token.kind != COMMA and not (token.kind == CLOSE and (cursor - 1)[0] == c']'):
                if not self.match_joined(&inside, level + 1):
                    return False
            if token.kind == KEY:
                if not self.inner_key(string, span(cursor, end - cursor), &inside, level + 1):
                    return False
            elif token.kind == END:
                return True

    cdef bint inner_key(self, Span key, Span rest, const Want* want, int level) noexcept nogil:
        cdef Want as_key = want[0]
        cdef uint64_t outer = self.got_keys
        cdef uint64_t rules
        as_key.keys = want.inner_keys
        self.got_keys = 0
        if not self.text(key, &as_key, level) or not self.join(key, level):
            return False
        rules = self.got_keys
        self.got_keys = outer
        return rules == 0 or self.key_found(rules, rest, level)

    cdef bint string_text(self, const Token* token, int level, Span* out) noexcept nogil:
        """The text of a key or string; it lives until the next one of this level."""
        out[0] = token.text
        if token.escaped:
            if not unescape_string(token.text, &self.levels[level].string):
                return False
            out[0] = span(self.levels[level].string.ptr, self.levels[level].string.len)
        return True

    cdef bint join(self, Span text, int level) noexcept nogil:
        return fold(text, &self.levels[level].joined, &self.levels[level].joined_seen)

    cdef bint match_joined(self, const Want* want, int level) noexcept nogil:
        """Searches what spans two or more of the joined strings, and forgets them."""
        cdef Level* of = &self.levels[level]
        cdef Symbols kept = self.symbols
        cdef bint fine
        if of.joined.len == 0:
            return True
        self.symbols = of.joined
        fine = self.match_readings(want, SEEN_SYMBOLIC, True)
        self.symbols = kept
        of.joined.len = 0
        return fine
