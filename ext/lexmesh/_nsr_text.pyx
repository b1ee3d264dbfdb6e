"""One text through every stage.

The stages, in order:

0. The prefilter (_nsr_filter) says which of them are needed, but for 5 and 8 (nsr_codes.h says that).
1. `fold` (_nsr_fold): case, NFKC, lookalikes, leetspeak; invisible characters and marks dropped.
2. `match_readings` (_nsr_words): punctuation that can pass for letters read as either; letters set apart closed up.
3. `variants`: what tag characters spell, and what right-to-left overrides show.
4. `unescaped` (_nsr_escape): percent signs, HTML entities, backslashes.
5. `unquoted` (_nsr_escape): quoted-printable.
6. `blobs`, `wrapped` (_nsr_blob): base64, base32 and hex of plausible text, also broken over lines; UTF-16 in them.
7. `spreads` (_nsr_spread): an encoding whose characters are set apart.
8. `numbers` (_nsr_codes): characters by their numbers.
9. `inner_json` (_nsr_json): JSON inside a string, its keys and strings, and those joined.

Stages 4 to 8 are done once more for the text with its lookalikes as ASCII (`as_ascii`). Stages 3 to 9 make texts again, up
to MAX_LEVELS on top of each other. What could be decoded beyond that, or costs more than `work`, is refused.
"""

import os

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from lexmesh._buffer cimport release, reserve
from lexmesh._nsr_blob cimport BASE32, BASE64, BASE64_URL, HEX, decode_run, is_plausible, next_line, next_run, next_wrapped
from lexmesh._nsr_codes cimport (
    HEX_CODES, LM_EQUALS, LM_NUMBERS, OCTAL_CODES, Base, code_kinds, next_codes, printable_part,
)
from lexmesh._nsr_escape cimport unescape_quoted, unescape_text
from lexmesh._nsr_filter cimport (
    LM_TRIP_ALL, LM_TRIP_BASE64, LM_TRIP_ESCAPE, LM_TRIP_HEX, LM_TRIP_HIGH, LM_TRIP_SPACED, LM_TRIP_WORD,
)
from lexmesh._nsr_fold cimport (
    SEEN_OVERRIDE, SEEN_SYMBOLIC, SEEN_TAG, fold, free_symbols, override_text, plain_text, skip_blank, tag_text,
)
from lexmesh._nsr_json cimport (
    CLOSE, COMMA, END, KEY, OPEN_ARRAY, OPEN_OBJECT, SCALAR, STRING, is_json_like, is_json_string, next_token, unescape_string,
)
from lexmesh._nsr_memo cimport MEMO_TERMS, Searched, forget, keep, key_of, recalled
from lexmesh._nsr_spread cimport MAX_PERIOD, MIN_CLOSE, MIN_PERIOD, next_spread
from lexmesh._nsr_wide cimport Wide, from_wide, wide_forms
from lexmesh._span cimport span

cdef enum:
    CALL_COST = 16          # bytes of `work` that every text costs beside its own
    RECALL_COST = 32        # part of its bytes that a text costs if it was searched before


cdef class TextScanner(WordScanner):
    """Searches texts and all that they decode to; a subclass says what a find means."""

    def __cinit__(self):
        cdef bytes secret = os.urandom(sizeof(self.memo.secret))
        memcpy(self.memo.secret, <const char*>secret, sizeof(self.memo.secret))

    def __dealloc__(self):
        cdef int i
        forget(&self.memo)
        for i in range(MAX_LEVELS + 1):
            release(&self.levels[i].ascii)
            release(&self.levels[i].variant)
            release(&self.levels[i].unescaped)
            release(&self.levels[i].decoded)
            release(&self.levels[i].joined_lines)
            release(&self.levels[i].narrow)
            release(&self.levels[i].string)
            free_symbols(&self.levels[i].joined)

    cdef bint key_found(self, uint64_t rules, Span rest, int level) noexcept nogil:
        """Called with the rules that a key of inner JSON belongs to; `rest` is what follows its colon. False: no memory."""
        return True

    cdef int trips(self, Span text, bint is_json, lm_stretch* unquoted) noexcept nogil:
        """What the prefilter of this phase says of a text."""
        if self.phase == IN_METADATA:
            return self.metadata_filter.trips(text, is_json, unquoted)
        if self.phase == IN_INSTRUCTION:
            return self.instruction_filter.trips(text, is_json, unquoted)
        if self.phase == IN_NAMES:
            return self.name_filter.trips(text, is_json, unquoted)
        return self.telemetry_filter.trips(text, is_json, unquoted)

    cdef bint text(self, Span text, const Want* want, int level) noexcept nogil:
        """Searches a text and all that it decodes to. False: no memory, or too much work."""
        cdef int trips
        cdef int seen = 0
        if text.len == 0 or not (want.words | want.keys | want.values | want.inner_keys) & self.wanted:
            return True
        self.work -= text.len + CALL_COST
        if self.work < 0:
            return False
        if level == 0:
            self.begin_part()
        # The prefilter knows no values.
        trips = <int>LM_TRIP_ALL if want.values else self.trips(text, False, NULL)
        if trips & (LM_TRIP_WORD | LM_TRIP_HIGH | LM_TRIP_SPACED) and not self.match(text, want, &seen):
            return False
        if seen & (SEEN_TAG | SEEN_OVERRIDE) and not self.variants(text, want, seen, level):
            return False
        return (self.decodings(text, trips, want, level)
                and (not trips & LM_TRIP_HIGH or self.as_ascii(text, want, level))
                and self.inner_json(text, want, level))

    # -- each decoding once ------------------------------------------------------------------------------------------

    cdef bint deeper(self, Span text, const Want* want, int level) noexcept nogil:
        """Searches what a text of `level` decodes to, unless that was searched and would find and reach nothing else."""
        cdef int outer = self.reached
        cdef const Searched* known
        cdef Searched search
        if text.len == 0:
            return True
        level += 1
        search.key = self.key_of_search(text, want)
        known = recalled(&self.memo, &search.key)
        # one that went too deep was not searched to its end, and could be on a higher level
        if known != NULL and (known.reached < MAX_LEVELS or known.level <= level):
            self.work -= text.len // RECALL_COST + CALL_COST
            self.reach(level + known.reached - known.level)
            return self.work >= 0
        self.reached = level
        self.reach(level)
        if level < MAX_LEVELS and not self.text(text, want, level):
            return False
        search.length = <uint32_t>text.len
        search.message = <uint32_t>self.message
        search.level = level
        search.reached = self.reached
        self.reached = max(self.reached, outer)
        return keep(&self.memo, &search)

    cdef Key key_of_search(self, Span text, const Want* want) noexcept nogil:
        """Of all that what is found in a text depends on, but for its level."""
        cdef uint64_t[MEMO_TERMS] terms
        # what a text is as a key or value is noted for the part only
        terms[0] = self.part if want.keys | want.values else self.message
        terms[1] = <uint64_t>self.phase
        terms[2] = self.wanted
        terms[3] = want.words
        terms[4] = want.keys
        terms[5] = want.values
        terms[6] = want.inner_keys
        return key_of(&self.memo, text, terms)

    cdef void reach(self, int level) noexcept nogil:
        """Notes the level of a decoding."""
        self.reached = max(self.reached, level)
        if level >= MAX_LEVELS:
            self.too_deep = True

    # -- readings of the same text -----------------------------------------------------------------------------------

    cdef bint variants(self, Span text, const Want* want, int seen, int level) noexcept nogil:
        """What tag characters spell, and the order that overrides show."""
        cdef Buffer* out = &self.levels[level].variant
        out.len = 0
        if not reserve(out, text.len):
            return False
        if seen & SEEN_TAG and not self.deeper(span(out.ptr, tag_text(text, out.ptr)), want, level):
            return False
        return not seen & SEEN_OVERRIDE or self.deeper(span(out.ptr, override_text(text, out.ptr)), want, level)

    # -- decodings ---------------------------------------------------------------------------------------------------

    cdef bint decodings(self, Span text, int trips, const Want* want, int level) noexcept nogil:
        cdef int codes = code_kinds(text) if want.words else 0
        cdef Token token
        # the escapes of a JSON string are undone with it
        if trips & LM_TRIP_ESCAPE and not is_json_string(text, &token) and not self.unescaped(text, want, level):
            return False
        if codes & LM_EQUALS and not self.unquoted(text, want, level):
            return False
        if trips & LM_TRIP_BASE64 and not (
                self.blobs(text, BASE64, want, level) and self.blobs(text, BASE64_URL, want, level)
                and self.blobs(text, BASE32, want, level) and self.wrapped(text, BASE64, want, level)):
            return False
        if trips & LM_TRIP_HEX and not (self.blobs(text, HEX, want, level) and self.wrapped(text, HEX, want, level)):
            return False
        if trips & LM_TRIP_SPACED and not self.spreads(text, want, level):
            return False
        return not codes & LM_NUMBERS or self.numbers(text, want, level)

    cdef bint as_ascii(self, Span text, const Want* want, int level) noexcept nogil:
        """Decodes a text once more with its lookalikes as ASCII and without invisible characters."""
        cdef Buffer* out = &self.levels[level].ascii
        cdef bint changed
        cdef Span ascii
        if not plain_text(text, out, &changed):
            return False
        ascii = span(out.ptr, out.len)
        return not changed or (
            self.decodings(ascii, <int>LM_TRIP_ALL if want.values else self.trips(ascii, False, NULL), want, level)
            and self.inner_json(ascii, want, level))

    cdef bint unescaped(self, Span text, const Want* want, int level) noexcept nogil:
        cdef Buffer* out = &self.levels[level].unescaped
        cdef bint changed
        if not unescape_text(text, out, &changed):
            return False
        return not changed or self.deeper(span(out.ptr, out.len), want, level)

    cdef bint unquoted(self, Span text, const Want* want, int level) noexcept nogil:
        cdef Buffer* out = &self.levels[level].unescaped
        cdef bint changed
        if not unescape_quoted(text, out, &changed):
            return False
        return not changed or self.deeper(span(out.ptr, out.len), want, level)

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

    cdef bint wrapped(self, Span text, Alphabet alphabet, const Want* want, int level) noexcept nogil:
        """Decodes what is broken over lines; each by itself if together they are no text."""
        cdef Buffer* lines = &self.levels[level].joined_lines
        cdef Buffer* out = &self.levels[level].decoded
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t within
        cdef Span whole, line
        lines.len = 0
        if not reserve(lines, text.len):
            return False
        while next_wrapped(text, alphabet, &at, &whole, lines):
            if not decode_run(span(lines.ptr, lines.len), alphabet, out):
                return False
            if is_plausible(span(out.ptr, out.len)):
                if not self.deeper(span(out.ptr, out.len), want, level):
                    return False
                continue
            if not self.wide(span(out.ptr, out.len), want, level):
                return False
            within = 0
            while next_line(whole, alphabet, &within, &line):
                if not self.blob(line, alphabet, want, level):
                    return False
        return True

    cdef bint blob(self, Span run, Alphabet alphabet, const Want* want, int level) noexcept nogil:
        cdef Buffer* out = &self.levels[level].decoded
        return decode_run(run, alphabet, out) and self.bytes_found(span(out.ptr, out.len), want, level)

    cdef bint bytes_found(self, Span data, const Want* want, int level) noexcept nogil:
        """Searches decoded bytes if they look like text."""
        return self.deeper(data, want, level) if is_plausible(data) else self.wide(data, want, level)

    cdef bint wide(self, Span data, const Want* want, int level) noexcept nogil:
        """Searches bytes that look like UTF-16 or UTF-32."""
        cdef Buffer* out = &self.levels[level].narrow
        cdef int forms = wide_forms(data)
        cdef int form = 1
        while form <= forms:
            if forms & form:
                if not from_wide(data, <Wide>form, out):
                    return False
                if is_plausible(span(out.ptr, out.len)) and not self.deeper(span(out.ptr, out.len), want, level):
                    return False
            form <<= 1
        return True

    cdef bint spreads(self, Span text, const Want* want, int level) noexcept nogil:
        cdef Buffer* out = &self.levels[level].decoded
        cdef Py_ssize_t at
        cdef int period
        # fewer than the shortest pattern has spell none, and the prefilter need not tell
        cdef int least = MIN_CLOSE if want.values else max(MIN_CLOSE, self.shortest[<int>self.phase])
        out.len = 0
        if not reserve(out, text.len):
            return False
        for period in range(MIN_PERIOD, MAX_PERIOD + 1):
            at = 0
            while next_spread(text, period, least, &at, out):
                if not self.deeper(span(out.ptr, out.len), want, level):
                    return False
        return True

    cdef bint numbers(self, Span text, const Want* want, int level) noexcept nogil:
        """Searches the words that numbers spell, in each base."""
        cdef Buffer* out = &self.levels[level].decoded
        cdef Want inside = want[0]
        cdef Span data
        cdef Py_ssize_t at
        cdef int base
        inside.keys = inside.values = inside.inner_keys = 0
        out.len = 0
        if not reserve(out, text.len):
            return False
        for base in range(HEX_CODES, OCTAL_CODES + 1):
            at = 0
            while next_codes(text, <Base>base, &at, out):
                data = span(out.ptr, out.len)
                if not is_plausible(data):
                    if not self.wide(data, &inside, level):
                        return False
                    data = printable_part(data)
                if is_plausible(data) and not self.deeper(data, &inside, level):
                    return False
        return True

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
        if is_json_string(text, &token):
            return self.string_text(&token, level + 1, &string) and self.deeper(string, want, level)
        cursor += skip_blank(text)
        if cursor[0] == c'"':
            return True
        inside.keys = inside.values = 0
        joined.len = 0
        while True:
            next_token(&cursor, end, &token)
            if token.kind == KEY or token.kind == STRING:
                self.reach(level + 1)
                if level + 1 == MAX_LEVELS:
                    return True
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
        cdef uint64_t outer_part = self.part
        cdef uint64_t rules
        as_key.keys = want.inner_keys
        self.got_keys = 0
        self.begin_part()
        if not self.text(key, &as_key, level) or not self.join(key, level):
            return False
        rules = self.got_keys
        self.got_keys = outer
        self.part = outer_part
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
