"""Rules to patterns: markers, keys and values as letter numbers, each in every way that it may be written."""

import re
from itertools import combinations, product

from libc.stdint cimport uint64_t

from lexmesh._gil cimport let_others_run
from lexmesh._nsr_fold cimport LEETED, LETTERS, OTHER, SEPARATOR, SPACE, SYMBOLIC, Symbols, fold, free_symbols
from lexmesh._span cimport span

from libc.stdint cimport uint8_t

SCOPE_NAMES = ("metadata keys", "metadata values", "event type", "payload keys", "payload strings", "raw bytes", "names")

cdef enum:
    MOST_LETTERS = 64       # of one marker

HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
LETTER_M = 12
RN = bytes([17, 13])


cdef int plainest(uint64_t mask, int flags):
    """The letter that a rule's author means: a digit itself, else the first reading."""
    cdef int letter
    order = range(LETTERS - 1, -1, -1) if flags & LEETED and not flags & SYMBOLIC else range(LETTERS)
    for letter in order:
        if mask >> letter & 1:
            return letter
    return 0


def letters_of(str text not None):
    """What a marker normalises to.

    Args:
        text: words separated by anything but letters and digits, or by camelCase humps.

    Returns:
        Letter numbers (a = 0 … z = 25, 0 = 26 … 9 = 35), with 36 between words; empty if there are none.

    Raises:
        ValueError: a letter that looks like no Latin one, or over 64 letters.
    """
    cdef Symbols symbols
    cdef int seen = 0
    cdef bytes data = HUMP.sub(" ", text).lower().encode()
    cdef Py_ssize_t i
    symbols.masks = NULL
    symbols.flags = NULL
    symbols.len = symbols.capacity = 0
    result = bytearray()
    try:
        if not fold(span(<const uint8_t*><const char*>data, len(data)), &symbols, &seen):
            raise MemoryError
        for i in range(symbols.len):
            if symbols.flags[i] & OTHER:
                raise ValueError("holds letters that have no Latin reading")
            result.append(SPACE if symbols.flags[i] & SEPARATOR else plainest(symbols.masks[i], symbols.flags[i]))
    finally:
        free_symbols(&symbols)
    letters = bytes(result).strip(bytes([SPACE]))
    if len(letters) > MOST_LETTERS:
        raise ValueError(f"is longer than {MOST_LETTERS} letters")
    return letters


def spellings(bytes letters not None):
    """Every way to write a marker: its words apart or closed up, and m as the lookalike rn."""
    words = letters.split(bytes([SPACE]))
    gaps = [b"", bytes([SPACE])] if len(words) <= 4 else [bytes([SPACE])]
    found = set()
    for choice in product(gaps, repeat=len(words) - 1):
        joined = words[0] + b"".join(gap + word for gap, word in zip(choice, words[1:], strict=True))
        found.update(with_lookalike_m(joined))
    return sorted(found)


def with_lookalike_m(bytes letters not None):
    places = [i for i, letter in enumerate(letters) if letter == LETTER_M]
    if len(places) > 3:
        return [letters, letters.replace(bytes([LETTER_M]), RN)]
    return [
        b"".join(RN if i in chosen else letters[i:i + 1] for i in range(len(letters)))
        for count in range(len(places) + 1)
        for chosen in combinations(places, count)
    ]


class Program:
    """The patterns and exceptions of a list of rules, as Automaton takes them.

    Args:
        rules: objects with the attributes of lexmesh.nsr.rules.RuleSpec.
        most: how many rules there may be.

    Raises:
        ValueError: too many rules, or a marker that normalises to nothing.
    """

    def __init__(self, rules, most):
        if len(rules) > most:
            raise ValueError(f"more than {most} rules")
        self.names = [rule.name for rule in rules]
        self._masks = {}
        self._exceptions = []
        for number, rule in enumerate(rules):
            for kind, texts in enumerate((rule.markers, rule.keys, rule.refused_values)):
                for text in texts:
                    self._add(text, kind, 1 << number)
        self._numbers = {letters: i for i, letters in enumerate(self._masks)}
        self.patterns = [(letters, *masks) for letters, masks in self._masks.items()]
        for number, rule in enumerate(rules):
            for text in rule.exceptions:
                self._add_exception(text, rule.markers, 1 << number)
        self.exceptions = self._exceptions

    def _add(self, text, kind, bit):
        let_others_run()
        letters = letters_of(text)
        if not letters:
            raise ValueError(f"{text!r} normalises to nothing")
        for spelling in spellings(letters):
            self._masks.setdefault(spelling, [0, 0, 0])[kind] |= bit

    def _add_exception(self, text, markers, bit):
        """Notes where in the exception each marker stands, so that a find there is known to be covered."""
        for phrase in spellings(letters_of(text)):
            for marker in markers:
                let_others_run()
                for spelling in spellings(letters_of(marker)):
                    offset = phrase.find(spelling)
                    while offset >= 0:
                        self._exceptions.append((phrase, self._numbers[spelling], offset, bit))
                        offset = phrase.find(spelling, offset + 1)
