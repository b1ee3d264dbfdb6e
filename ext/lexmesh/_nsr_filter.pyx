"""The prefilter's tables, from the patterns of a policy."""

cimport cython
from libc.string cimport memset

from lexmesh._gil cimport let_others_run
from lexmesh._nsr_fold cimport SEPARATOR, SPACE, SYMBOLIC, Symbols, fold, free_symbols
from lexmesh._span cimport span

cdef enum:
    BUCKETS = 6             # of trigrams; LM_WORD_BUCKETS
    MIN_SPACED = 3          # of _nsr_fold: fewer letters set apart are not taken for a word

MANY = 300              # patterns with which the buckets are full anyway; choosing well takes time in their square

# Letters of English text in a thousand (after Norvig's counts of the Google books corpus), a to z.
FREQUENCY = (80, 15, 33, 38, 125, 24, 19, 51, 76, 2, 5, 41, 25, 72, 76, 21, 1, 63, 65, 93, 27, 11, 17, 2, 17, 1)
COMMON = frozenset("the and ing ion ent tio for ate ter all ver con ers sta rea ort our her ion est com sen ens nso har arr ove ful".split())


def readings_of_ascii():
    """The bytes that can be read as each letter number; those that are no letter under SPACE."""
    cdef Symbols symbols
    cdef uint8_t byte
    cdef int seen = 0
    cdef int letter
    sets = [set() for _ in range(SPACE + 1)]
    symbols.masks = NULL
    symbols.flags = NULL
    symbols.capacity = 0
    for value in range(128):
        byte = value
        symbols.len = 0
        if not fold(span(&byte, 1), &symbols, &seen):
            raise MemoryError
        if symbols.len and symbols.flags[0] & (SEPARATOR | SYMBOLIC):
            sets[SPACE].add(value)
        if symbols.len and not symbols.flags[0] & SEPARATOR:
            for letter in range(SPACE):
                if symbols.masks[0] >> letter & 1:
                    sets[letter].add(value)
    free_symbols(&symbols)
    return [frozenset(members) for members in sets]


READINGS = readings_of_ascii()
ANY = frozenset(range(128))
NOT_ALNUM = READINGS[SPACE]
CAPITALS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def cost(letters):
    """How often three letters trip on honest text, roughly."""
    product = 1.0
    for letter in letters:
        product *= FREQUENCY[letter] if letter < 26 else 10
    text = "".join(chr(97 + letter) if letter < 26 else "0" for letter in letters)
    return product * (100 if text in COMMON else 1)


def trigrams_of(pattern):
    """Each three letters in a row within one word; what there is where no word has three."""
    words = [word for word in pattern.split(bytes([SPACE])) if word]
    size = min(3, max(len(word) for word in words))
    return {word[i:i + size] for word in words for i in range(len(word) - size + 1)}


def covering(patterns):
    """A cheap set of trigrams such that each pattern has one of them (greedy weighted set cover, then pruned)."""
    if len(patterns) > MANY:
        return cheapest_of_each(patterns)
    holders = {}
    for pattern in patterns:
        for letters in trigrams_of(pattern):
            holders.setdefault(letters, set()).add(pattern)
    chosen = []
    while holders:
        let_others_run()
        best = min(holders, key=lambda letters: (cost(letters) / len(holders[letters]), letters))
        chosen.append(best)
        covered = holders.pop(best)
        for letters in covered_trigrams(covered):
            if letters in holders:
                holders[letters] -= covered
                if not holders[letters]:
                    del holders[letters]
    for letters in sorted(chosen, key=cost, reverse=True):
        let_others_run()
        rest = [other for other in chosen if other != letters]
        if all(any(other in trigrams_of(pattern) for other in rest) for pattern in patterns):
            chosen = rest
    return sorted(chosen)


def cheapest_of_each(patterns):
    """A trigram of each pattern, the cheapest; often the same for several."""
    costs = {}
    chosen = set()
    for pattern in patterns:
        let_others_run()
        trigrams = trigrams_of(pattern)
        for letters in trigrams:
            if letters not in costs:
                costs[letters] = (cost(letters), letters)
        chosen.add(min(trigrams, key=costs.__getitem__))
    return sorted(chosen)


def covered_trigrams(patterns):
    return {letters for pattern in patterns for letters in trigrams_of(pattern)}


@cython.final
cdef class Prefilter:
    """Tables for some of a policy's patterns.

    Args:
        patterns: letter numbers of each, as Program makes them.
        joined: those of them that may be split over two strings.
        most: 0 for the scalar code, 1 for 128-bit vectors, 2 for the fastest that there is.
    """

    def __init__(self, list patterns not None, list joined not None, int most=2):
        memset(&self.tables, 0, sizeof(self.tables))
        lm_start_splits(&self.splits)
        self.chosen = lm_choose_prefilter(most)
        self.never = not patterns
        lengths = [len(pattern.replace(bytes([SPACE]), b"")) for pattern in patterns]
        self.tables.spaced = min([min(length, <int>LM_MAX_SPACED) for length in lengths if length >= MIN_SPACED], default=LM_MAX_SPACED + 1)
        for number, letters in enumerate(covering(patterns)):
            let_others_run()
            self._add_trigram([READINGS[letter] for letter in letters], 1 << number % BUCKETS)
        self._add_trigram([b"="], LM_EQUALS_BUCKET)
        self._add_trigram([b'"'], LM_QUOTE_BUCKET)
        self._add_splits(joined)

    cdef _add_trigram(self, list sets, int bucket):
        """Characters are the last of three: what no pattern has in front of them may be anything, the text's edge too."""
        cdef int place
        for place, members in enumerate([ANY] * (3 - len(sets)) + sets):
            for byte in members:
                self.tables.trigrams.low[place][<int>byte & 15] |= <uint8_t>bucket
                self.tables.trigrams.high[place][<int>byte >> 4] |= <uint8_t>bucket

    cdef _add_splits(self, list patterns):
        """Notes the characters around each place where a pattern may be split; separators may stand in rows.

        A pair of letters says the same whichever pattern it stands in, so each is noted once.
        """
        cdef int at
        across, before, after = set(), set(), set()
        for pattern in patterns:
            let_others_run()
            for at in range(1, len(pattern)):
                across.add((pattern[at - 1], pattern[at]))
                before.add((pattern[at - 2] if at >= 2 else None, pattern[at - 1]))
                after.add((pattern[at], pattern[at + 1] if at + 1 < len(pattern) else None))
        for left, right in across:
            self._add_across(READINGS[left], READINGS[right])
        for left, last in before:
            self._add_before(None if left is None else READINGS[left], READINGS[last])
        for first, right in after:
            self._add_after(READINGS[first], None if right is None else READINGS[right])

    cdef _add_across(self, last, first):
        let_others_run()
        for a in last:
            for b in first:
                lm_set_pair(self.splits.across, a, b)
        if last is NOT_ALNUM or first is NOT_ALNUM:
            for a in NOT_ALNUM:
                for b in NOT_ALNUM:
                    lm_set_pair(self.splits.across, a, b)

    cdef _add_before(self, left, last):
        """`left`: what may stand in front of the last letter before the edge; None for a pattern that begins with it."""
        let_others_run()
        for a in last:
            before = left if left is not None else ANY if a in CAPITALS else NOT_ALNUM
            for b in before | NOT_ALNUM if a in NOT_ALNUM else before:
                lm_set_pair(self.splits.before, b, a)

    cdef _add_after(self, first, right):
        """`right`: what may follow the first letter after the edge; None for a pattern that ends with it."""
        let_others_run()
        after = right if right is not None else NOT_ALNUM | CAPITALS
        for a in first:
            for b in after | NOT_ALNUM if a in NOT_ALNUM else after:
                lm_set_pair(self.splits.after, a, b)

    cdef int trips(self, Span text, bint is_json, lm_stretch* unquoted) noexcept nogil:
        """The stages that might find something in a text (LM_TRIP_ bits); 0 proves that none can.

        `is_json`: the text is a JSON value, and strings of it are looked at together. `unquoted`, unless NULL: gets the
        longest stretch that is known to hold no quotes; without meaning if LM_TRIP_HIGH is among the trips.
        """
        if self.never:
            if unquoted != NULL:
                unquoted[0] = lm_nowhere()
            return 0
        return self.chosen.run(&self.tables, text.ptr, <size_t>text.len, 0 if is_json else <size_t>text.len, unquoted)

    cdef bint may_join(self, Span left, Span right) noexcept nogil:
        """Whether a marker might be split over two strings."""
        return left.len > 0 and right.len > 0 and lm_may_join(
            &self.splits, left.ptr, <size_t>left.len, right.ptr, <size_t>right.len)

    cdef bint may_join_in_json(self, Span text, lm_stretch unquoted) noexcept nogil:
        """Whether one might be split over neighbouring strings of a JSON text without backslashes."""
        return lm_may_join_in_json(&self.splits, text.ptr, <size_t>text.len, unquoted)

    def trips_of(self, bytes text not None, bint is_json=False):
        """The stages that might find something in `text`, for tests."""
        return self.trips(span(<const uint8_t*><const char*>text, len(text)), is_json, NULL)

    def may_be_split(self, bytes left not None, bytes right not None):
        """Whether a marker might be split over two texts, for tests."""
        return self.may_join(span(<const uint8_t*><const char*>left, len(left)),
                             span(<const uint8_t*><const char*>right, len(right)))
