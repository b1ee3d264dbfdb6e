"""The markers as one automaton over symbols, with word boundaries checked at each hit.

The automaton runs over letter classes (letters that some character confuses share one), so that one pass follows
every reading of an ambiguous character; a hit is then checked letter by letter against what each symbol can be.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from libc.string cimport memcpy, memset

from lexmesh._gil cimport let_others_run
from lexmesh._nsr_fold cimport (
    CLASSES, EDGE, LEETED, LETTERS, OTHER, SEPARATOR, SPACE, SYMBOLIC, UPPER, Symbols, class_of, lm_fold_class,
)

cdef enum:
    MAX_GAP = 3             # separators between two words of one marker
    BLOB = 20               # letters and digits in a row that may be an encoding: humps inside count for less
    WORDLIKE = 3            # letters that a hump needs there to count as a word


cdef void* checked(void* memory) except NULL:
    if memory == NULL:
        raise MemoryError
    return memory


cdef class Automaton:
    """All patterns of a policy.

    Args:
        patterns: (letters, in_text, as_key, as_value) each, letters as `bytes` of letter numbers (a = 0, SPACE = 36
            between words), the rest masks of rule numbers.
        exceptions: (letters, pattern number, offset of the pattern in it, mask of rules) each.
    """

    def __cinit__(self, list patterns not None, list exceptions not None):
        self.width = CLASSES + 1
        self.patterns = <Pattern*>checked(PyMem_RawCalloc(len(patterns) + 1, sizeof(Pattern)))
        self.exceptions = <Exception_*>checked(PyMem_RawCalloc(len(exceptions) + 1, sizeof(Exception_)))
        for letters, in_text, as_key, as_value in patterns:
            let_others_run()
            self._add_pattern(letters, in_text, as_key, as_value)
        for letters, pattern, offset, rules in exceptions:
            let_others_run()
            self._add_exception(letters, pattern, offset, rules)
        self._build()

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.pattern_count):
            PyMem_RawFree(self.patterns[i].letters)
        for i in range(self.exception_count):
            PyMem_RawFree(self.exceptions[i].letters)
        PyMem_RawFree(self.patterns)
        PyMem_RawFree(self.exceptions)
        PyMem_RawFree(self.step)
        PyMem_RawFree(self.output)
        PyMem_RawFree(self.shorter)

    cdef _add_pattern(self, bytes letters, uint64_t in_text, uint64_t as_key, uint64_t as_value):
        cdef Pattern* pattern = &self.patterns[self.pattern_count]
        pattern.letters = <uint8_t*>checked(PyMem_RawMalloc(len(letters) + 1))
        self.pattern_count += 1
        memcpy(pattern.letters, <const uint8_t*>letters, len(letters))
        pattern.len = len(letters)
        pattern.words = letters.count(bytes([SPACE])) + 1
        pattern.in_text = in_text
        pattern.as_key = as_key
        pattern.as_value = as_value
        pattern.same_classes = pattern.exceptions = -1

    cdef _add_exception(self, bytes letters, Py_ssize_t number, Py_ssize_t offset, uint64_t rules):
        cdef Exception_* exception = &self.exceptions[self.exception_count]
        exception.letters = <uint8_t*>checked(PyMem_RawMalloc(len(letters) + 1))
        memcpy(exception.letters, <const uint8_t*>letters, len(letters))
        exception.len = len(letters)
        exception.offset = offset
        exception.rules = rules
        exception.following = self.patterns[number].exceptions
        self.patterns[number].exceptions = <int32_t>self.exception_count
        self.exception_count += 1

    cdef _build(self):
        cdef Py_ssize_t most = 1
        cdef Py_ssize_t i
        cdef int32_t* fails
        for i in range(self.pattern_count):
            most += self.patterns[i].len
        self.step = <int32_t*>checked(PyMem_RawCalloc(most * self.width, sizeof(int32_t)))
        self.output = <int32_t*>checked(PyMem_RawMalloc(most * sizeof(int32_t)))
        self.shorter = <int32_t*>checked(PyMem_RawMalloc(most * sizeof(int32_t)))
        fails = <int32_t*>checked(PyMem_RawCalloc(2 * most, sizeof(int32_t)))
        with nogil:         # thousands of patterns take a while, in which an event loop has to go on
            memset(self.output, 0xFF, most * sizeof(int32_t))
            memset(self.shorter, 0xFF, most * sizeof(int32_t))
            self.nodes = 1
            for i in range(self.pattern_count):
                self._insert(<int32_t>i)
            self._link(fails, fails + most)
        PyMem_RawFree(fails)

    cdef void _insert(self, int32_t number) noexcept nogil:
        cdef Pattern* pattern = &self.patterns[number]
        cdef Py_ssize_t i
        cdef int32_t node = 0
        cdef int32_t* slot
        for i in range(pattern.len):
            slot = &self.step[node * self.width + column(pattern.letters[i])]
            if slot[0] == 0:
                slot[0] = <int32_t>self.nodes
                self.nodes += 1
            node = slot[0]
        pattern.same_classes = self.output[node]
        self.output[node] = number

    cdef void _link(self, int32_t* fails, int32_t* queue) noexcept nogil:
        """Turns the trie into the automaton: failure transitions filled in breadth first.

        `fails`, zeroed, and `queue` have room for every node.
        """
        cdef int32_t node, child, fail
        cdef Py_ssize_t first = 0
        cdef Py_ssize_t end = 0
        cdef int c
        for c in range(self.width):
            if self.step[c]:
                queue[end] = self.step[c]
                end += 1
        while first < end:
            node = queue[first]
            first += 1
            fail = fails[node]
            self.shorter[node] = fail if self.output[fail] >= 0 else self.shorter[fail]
            for c in range(self.width):
                child = self.step[node * self.width + c]
                if child:
                    fails[child] = self.step[fail * self.width + c]
                    queue[end] = child
                    end += 1
                else:
                    self.step[node * self.width + c] = self.step[fail * self.width + c]

    cdef bint next_hit(self, const Symbols* text, Search* search, Hit* hit) noexcept nogil:
        """Finds the next place where a pattern's letters stand, whatever is around them."""
        cdef Py_ssize_t at = search.at
        cdef int32_t state = search.state
        while True:
            while search.pending >= 0:
                while search.pattern >= 0:
                    hit.pattern = &self.patterns[search.pattern]
                    search.pattern = hit.pattern.same_classes
                    hit.end = at
                    hit.start = at - hit.pattern.len
                    if spells(text, hit.start, hit.pattern.letters, hit.pattern.len):
                        search.at = at
                        search.state = state
                        return True
                search.pending = self.shorter[search.pending]
                search.pattern = self.output[search.pending] if search.pending >= 0 else -1
            if at >= text.len:
                return False
            state = self.advance(text, at, state)
            at += 1
            search.pending = state if self.output[state] >= 0 else self.shorter[state]
            search.pattern = self.output[search.pending] if search.pending >= 0 else -1

    cdef inline int32_t advance(self, const Symbols* text, Py_ssize_t at, int32_t state) noexcept nogil:
        if text.flags[at] & OTHER:
            return 0
        if text.flags[at] & SEPARATOR:
            return self.step[state * self.width + CLASSES] if text.masks[at] <= MAX_GAP else 0
        return self.step[state * self.width + class_of(text.masks[at])]

    cdef uint64_t excepted(self, const Symbols* text, const Hit* hit) noexcept nogil:
        """The rules that have an exception which covers this hit."""
        cdef int32_t number = hit.pattern.exceptions
        cdef const Exception_* exception
        cdef Hit phrase
        cdef uint64_t rules = 0
        while number >= 0:
            exception = &self.exceptions[number]
            phrase.start = hit.start - exception.offset
            phrase.end = phrase.start + exception.len
            if phrase.start >= 0 and phrase.end <= text.len and ends_left(text, phrase.start) and (
                    ends_right(text, phrase.end)) and spells(text, phrase.start, exception.letters, exception.len):
                rules |= exception.rules
            number = exception.following
        return rules


cdef inline int column(uint8_t letter) noexcept nogil:
    return CLASSES if letter == SPACE else lm_fold_class[letter]


cdef Search begin() noexcept nogil:
    cdef Search search
    search.at = 0
    search.state = 0
    search.pending = search.pattern = -1
    return search


cdef inline bint spells(const Symbols* text, Py_ssize_t start, const uint8_t* letters, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(length):
        if letters[i] == SPACE:
            if not text.flags[start + i] & SEPARATOR:
                return False
        elif text.flags[start + i] & SEPARATOR or not text.masks[start + i] >> letters[i] & 1:
            return False
    return True


cdef inline bint ends_left(const Symbols* text, Py_ssize_t start) noexcept nogil:
    """Whether nothing or no letter or digit stands before `start`."""
    return start == 0 or text.flags[start] & EDGE != 0 or text.flags[start - 1] & (SEPARATOR | SYMBOLIC) != 0


cdef inline bint ends_right(const Symbols* text, Py_ssize_t end) noexcept nogil:
    return end == text.len or text.flags[end] & (EDGE | SEPARATOR | SYMBOLIC) != 0


cdef inline bint inside(const Symbols* text, Py_ssize_t at) noexcept nogil:
    return 0 <= at < text.len and text.flags[at] & (SEPARATOR | SYMBOLIC) == 0


cdef inline bint hump(const Symbols* text, Py_ssize_t at) noexcept nogil:
    """Whether a camelCase word begins at `at`: aB, or the B of ABc."""
    if not inside(text, at) or not inside(text, at - 1) or not text.flags[at] & UPPER:
        return False
    if not text.flags[at - 1] & UPPER:
        return True
    return inside(text, at + 1) and text.flags[at + 1] & (UPPER | LEETED | OTHER) == 0


cdef inline int humps_within(const Symbols* text, const Hit* hit) noexcept nogil:
    cdef Py_ssize_t i
    cdef int count = 0
    for i in range(hit.start + 1, hit.end):
        count += text.flags[i] & UPPER != 0 and text.flags[i - 1] & (UPPER | SEPARATOR) == 0
    return count


cdef bint in_blob(const Symbols* text, const Hit* hit) noexcept nogil:
    """Whether the hit stands in BLOB or more letters and digits, digits among them; looks no further than that."""
    cdef Py_ssize_t first = hit.start
    cdef Py_ssize_t last = hit.end
    cdef Py_ssize_t i
    while hit.start - first < BLOB and inside(text, first - 1):
        first -= 1
    while last - hit.end < BLOB and inside(text, last):
        last += 1
    if last - first < BLOB:
        return False
    for i in range(first, last):
        if text.flags[i] & LEETED:
            return True
    return False


cdef bint wordlike(const Symbols* text, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Whether [first, last) is letters with no hump after the first."""
    cdef Py_ssize_t i
    for i in range(first, last):
        if not inside(text, i) or text.flags[i] & LEETED:
            return False
        if i > first and text.flags[i] & UPPER and not text.flags[i - 1] & UPPER:
            return False
    return True


cdef bint is_word(const Symbols* text, const Hit* hit) noexcept nogil:
    """Whether the hit is a word of its own: it ends at separators, edges or camelCase humps.

    Where a hump is needed the word must be cased like one (Force, force or FORCE; FoRcE only between separators),
    and inside what may be a random identifier its neighbours must look like words too.
    """
    cdef bint left = ends_left(text, hit.start)
    cdef bint right = ends_right(text, hit.end)
    if left and right:
        return True
    if not left and not hump(text, hit.start):
        return False
    if not right and not hump(text, hit.end):
        return False
    if humps_within(text, hit) >= hit.pattern.words:
        return False
    if not in_blob(text, hit):
        return True
    return ((left or wordlike(text, hit.start - WORDLIKE, hit.start))
            and (right or wordlike(text, hit.end, hit.end + WORDLIKE))
            and wordlike_match(text, hit))


cdef bint wordlike_match(const Symbols* text, const Hit* hit) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(hit.start, hit.end):
        if text.flags[i] & LEETED:
            return False
    return True


cdef bint crosses_edge(const Symbols* text, const Hit* hit) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(hit.start + 1, hit.end):
        if text.flags[i] & EDGE:
            return True
    return False


cdef bint is_whole(const Symbols* text, const Hit* hit) noexcept nogil:
    """Whether the hit is all there is but for separators around it."""
    cdef Py_ssize_t first = 1 if text.len and text.flags[0] & SEPARATOR else 0
    cdef Py_ssize_t last = text.len - 1 if text.len and text.flags[text.len - 1] & SEPARATOR else text.len
    return hit.start == first and hit.end == last
