"""Which event types a rule is for."""


cdef bint subject_matches(Span pattern, Span subject) noexcept nogil:
    """NATS wildcards, and `*` inside a token for any part of it; letters match in either case."""
    cdef Py_ssize_t p = 0
    cdef Py_ssize_t s = 0
    cdef Py_ssize_t star = -1
    cdef Py_ssize_t tried = 0
    while s < subject.len:
        if p + 1 == pattern.len and pattern.ptr[p] == c'>' and (p == 0 or pattern.ptr[p - 1] == c'.'):
            return True
        if p < pattern.len and pattern.ptr[p] == c'*':
            star = p
            tried = s
            p += 1
        elif p < pattern.len and pattern.ptr[p] == lower(subject.ptr[s]):
            p += 1
            s += 1
        elif star >= 0 and subject.ptr[tried] != c'.':
            tried += 1
            s = tried
            p = star + 1
        else:
            return False
    while p < pattern.len and pattern.ptr[p] == c'*':
        p += 1
    return p == pattern.len
