"""Strings and numbers of JSON text, read, decoded and written."""

from libc.stdint cimport uint8_t

from lexmesh._span cimport Span, Status


cdef void skip_space(const uint8_t** cursor, const uint8_t* end) noexcept nogil
cdef Status string(const uint8_t** cursor, const uint8_t* end, Span* raw, bint* escaped) noexcept nogil
cdef Status number(const uint8_t** cursor, const uint8_t* end) noexcept nogil
cdef Py_ssize_t unescape(Span raw, uint8_t* out) noexcept nogil
cdef Py_ssize_t escaped_size(Span text) noexcept nogil
cdef uint8_t* escape(Span text, uint8_t* out) noexcept nogil
