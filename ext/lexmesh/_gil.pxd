"""Compiled code that runs for long beside an event loop: unlike the interpreter's own, it is never interrupted."""


cdef inline void let_others_run() noexcept:
    """Lets another thread that has asked for the interpreter's lock have it; some 50 ns if none has."""
    with nogil:
        pass
