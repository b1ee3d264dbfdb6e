"""A JSON payload, walked with the path of where it stands; and what a key's value says."""

import json

from libc.string cimport memcpy

from lexmesh._buffer cimport release
from lexmesh._nsr_ascii cimport is_digit, is_space
from lexmesh._nsr_codes cimport LM_NUMBERS, code_kinds
from lexmesh._nsr_json cimport (
    CLOSE, COMMA, END, KEY, OPEN_ARRAY, OPEN_OBJECT, SCALAR, STRING, next_token, unescape_string,
)
from lexmesh._span cimport span

cdef enum:
    MAX_PART = 64               # characters of a key in a path


ROOTS = ("", "event_type", "metadata", "data", "source_node", "target_node", "reply_to", "content_type")


cdef class PayloadScanner(TextScanner):
    def __dealloc__(self):
        release(&self.leaf)

    # -- the walk ----------------------------------------------------------------------------------------------------

    cdef bint walk(self, Span json, const Want* key_want, const Want* string_want) noexcept nogil:
        """Searches every key and string of a validated JSON text. False: no memory."""
        cdef const uint8_t* cursor = json.ptr
        cdef const uint8_t* end = json.ptr + json.len
        cdef Token token
        cdef int floor = 0          # fewest frames since the joined strings began
        cdef bint in_array
        cdef const uint8_t* array = NULL        # where the innermost array begins, as long as it holds no other
        self.levels[0].joined.len = 0
        while self.wanted:
            next_token(&cursor, end, &token)
            in_array = token.kind == CLOSE and (cursor - 1)[0] == c']'
            if not (token.kind == STRING or token.kind == OPEN_ARRAY or token.kind == COMMA or in_array):
                if not self.match_joined_here(string_want, floor):
                    return False
                floor = self.depth
            if token.kind == KEY:
                if not self.walk_key(&token, span(cursor, end - cursor), key_want):
                    return False
            elif token.kind == STRING and not self.walk_string(&token, string_want):
                return False
            elif token.kind == END:
                return True
            elif in_array and array != NULL and not self.numbers_of_array(array, cursor - 1, string_want):
                return False
            if token.kind == OPEN_ARRAY:
                array = cursor
            elif token.kind == OPEN_OBJECT or token.kind == CLOSE:
                array = NULL
            self.enter_or_leave(token.kind)
            if self.levels[0].joined.len == 0 or self.depth < floor:
                floor = self.depth
        return True

    cdef bint numbers_of_array(self, const uint8_t* first, const uint8_t* last, const Want* want) noexcept nogil:
        """Searches what the numbers of an array spell, be they strings or not; its path is that of the array."""
        cdef Span inside = span(first, last - first)
        cdef bint fine
        if not want.words & self.wanted or not code_kinds(inside) & LM_NUMBERS:
            return True
        self.depth -= 1
        fine = self.numbers(inside, want, 0)
        self.depth += 1
        return fine

    cdef inline void enter_or_leave(self, int kind) noexcept nogil:
        cdef Frame* top
        if kind == OPEN_OBJECT or kind == OPEN_ARRAY:
            if self.depth < MAX_FRAMES:
                top = &self.frames[self.depth]
                top.is_array = kind == OPEN_ARRAY
                top.index = 0
                top.key = span(NULL, 0)
            self.depth += 1
        elif kind == CLOSE:
            self.depth -= 1
        elif kind == COMMA and 0 < self.depth <= MAX_FRAMES:
            self.frames[self.depth - 1].index += 1

    cdef bint walk_key(self, const Token* token, Span rest, const Want* want) noexcept nogil:
        cdef Frame* top = &self.frames[self.depth - 1]
        cdef Span key
        cdef uint64_t rules
        top.key = token.text
        top.escaped = token.escaped
        self.got_keys = 0
        if not self.string_text(token, 0, &key) or not self.text(key, want, 0):
            return False
        if self.joinable and not self.join(key, 0):
            return False
        rules = self.got_keys
        return rules == 0 or self.key_found(rules, rest, 0)

    cdef bint walk_string(self, const Token* token, const Want* want) noexcept nogil:
        cdef Span string
        return (self.string_text(token, 0, &string) and self.text(string, want, 0)
                and (not self.joinable or self.join(string, 0)))

    cdef bint match_joined_here(self, const Want* want, int floor) noexcept nogil:
        """Matches the joined strings; what they hold together is at the array or key that holds them all."""
        cdef int depth = self.depth
        cdef bint fine
        self.depth = floor - 1 if 0 < floor <= MAX_FRAMES and self.frames[floor - 1].is_array else floor
        fine = self.match_joined(want, 0)
        self.depth = depth
        return fine

    # -- values ------------------------------------------------------------------------------------------------------

    cdef bint key_found(self, uint64_t rules, Span rest, int level) noexcept nogil:
        cdef int rule
        cdef bint refused
        rules &= self.wanted
        while rules:
            rule = lowest(rules)
            rules &= rules - 1
            if not self.value_refused(rule, rest, level, &refused):
                return False
            if refused:
                self.found(1ull << rule)
        return True

    cdef bint value_refused(self, int rule, Span rest, int level, bint* refused) noexcept nogil:
        """Whether the rule refuses the value that `rest` begins with: for lists and objects, any leaf of it."""
        cdef const uint8_t* cursor = rest.ptr
        cdef const uint8_t* end = rest.ptr + rest.len
        cdef Token token
        cdef int depth = 0
        refused[0] = self.values[rule].count == 0 and not self.with_values >> rule & 1
        while not refused[0]:
            next_token(&cursor, end, &token)
            if token.kind == OPEN_OBJECT or token.kind == OPEN_ARRAY:
                depth += 1
            elif token.kind == CLOSE:
                depth -= 1
            elif token.kind == STRING or token.kind == SCALAR:
                if not self.leaf_refused(rule, &token, level, refused):
                    return False
            if token.kind == END or (depth <= 0 and token.kind != KEY):
                break
        self.value_budget -= cursor - rest.ptr
        if self.value_budget < 0:
            refused[0] = True
        return True

    cdef bint leaf_refused(self, int rule, const Token* token, int level, bint* refused) noexcept nogil:
        cdef Span text = token.text
        if token.kind == STRING and token.escaped:
            if not unescape_string(token.text, &self.leaf):
                return False
            text = span(self.leaf.ptr, self.leaf.len)
        elif token.kind == SCALAR and is_zero(text):
            text = span(<const uint8_t*>b"0", 1)
        return self.text_refused(rule, text, level, refused)

    cdef bint text_refused(self, int rule, Span text, int level, bint* refused) noexcept nogil:
        """Whether the rule refuses a value: one that it names, or one that is not among those that it allows.

        What is refused is recognised in every disguise; what is allowed must be plainly so.
        """
        cdef Want want
        cdef uint64_t outer = self.got_values
        cdef uint64_t outer_part = self.part
        cdef int i
        if not self.with_values >> rule & 1:
            text = trimmed(text)
            refused[0] = True
            for i in range(self.values[rule].count):
                if is_lower_case_of(text, self.values[rule].allowed[i]):
                    refused[0] = False
            return True
        want.words = want.keys = want.inner_keys = 0
        want.values = 1ull << rule
        self.got_values = 0
        self.begin_part()
        if not self.text(text, &want, level):
            return False
        refused[0] = self.got_values >> rule & 1
        self.got_values = outer
        self.part = outer_part
        return True

    # -- paths -------------------------------------------------------------------------------------------------------

    cdef void note_place(self) noexcept nogil:
        """Keeps where the walk stands."""
        cdef int i
        cdef Frame* kept
        self.place.root = self.root
        self.place.depth = min(self.depth, MAX_FRAMES)
        for i in range(self.place.depth):
            kept = &self.place.frames[i]
            kept[0] = self.frames[i]
            if not kept.is_array and kept.key.ptr != NULL:
                kept.key.len = min(kept.key.len, MAX_KEY_SHOWN)
                memcpy(self.place.keys[i], self.frames[i].key.ptr, <size_t>kept.key.len)

    cdef object path_text(self):
        cdef Place* place = &self.place
        cdef Frame* frame
        cdef int i
        parts = [ROOTS[<int>place.root]]
        for i in range(place.depth):
            frame = &place.frames[i]
            if frame.is_array:
                parts.append(f"[{frame.index}]")
            elif frame.key.ptr != NULL:
                parts.append("." + shown_key(place.keys[i][:frame.key.len], frame.escaped))
        return "".join(parts)


cdef str shown_key(bytes key, bint escaped):
    """A key as a part of a path: printable, and at most MAX_PART characters."""
    text = without_escapes(key.decode("utf-8", "replace")) if escaped else key.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_PART])


cdef str without_escapes(str text):
    """Decodes a JSON string's body that may have been cut off within an escape, or a pair of them."""
    for cut in range(min(12, len(text)) + 1):
        try:
            decoded = json.loads(f'"{text[:len(text) - cut]}"')
        except ValueError:
            continue
        if not decoded or not 0xD800 <= ord(decoded[len(decoded) - 1]) <= 0xDBFF:
            return decoded
    return text


cdef inline bint is_zero(Span number) noexcept nogil:
    """Whether a JSON number is zero: no digit but 0 before its exponent."""
    cdef Py_ssize_t i
    if number.len == 0 or not (is_digit(number.ptr[0]) or number.ptr[0] == c'-'):
        return False
    for i in range(number.len):
        if (number.ptr[i] | 0x20) == c'e':
            return True
        if c'1' <= number.ptr[i] <= c'9':
            return False
    return True


cdef inline Span trimmed(Span text) noexcept nogil:
    while text.len and is_space(text.ptr[0]):
        text.ptr += 1
        text.len -= 1
    while text.len and is_space(text.ptr[text.len - 1]):
        text.len -= 1
    return text


cdef inline bint is_lower_case_of(Span text, Span lower) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint8_t c
    if text.len != lower.len:
        return False
    for i in range(text.len):
        c = text.ptr[i]
        if (c | 0x20 if c'A' <= c <= c'Z' else c) != lower.ptr[i]:
            return False
    return True
