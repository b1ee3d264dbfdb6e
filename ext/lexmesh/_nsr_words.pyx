"""The words of one text, in each of its readings."""

from lexmesh._nsr_automaton cimport Hit, Search, begin, crosses_edge, is_whole, is_word
from lexmesh._nsr_fold cimport SEEN_SYMBOLIC, fold, free_symbols, spaced_letters, symbolic_as_separators


cdef class WordScanner:
    """Searches texts for the patterns of an automaton; a subclass says what a find means."""

    def __dealloc__(self):
        free_symbols(&self.symbols)
        free_symbols(&self.plain)
        free_symbols(&self.spaced)

    cdef void found(self, uint64_t rules) noexcept nogil:
        """Called with the rules that a word of the text being searched breaks."""

    cdef bint match(self, Span text, const Want* want, int* seen) noexcept nogil:
        self.symbols.len = 0
        return fold(text, &self.symbols, seen) and self.match_readings(want, seen[0], False)

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
