"""A growable byte buffer that is reused from message to message."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from lexmesh._span cimport Span


cdef struct Buffer:
    uint8_t* ptr
    Py_ssize_t len
    Py_ssize_t capacity


cdef inline bint reserve(Buffer* buffer, Py_ssize_t extra) noexcept nogil:
    """Makes room for `extra` more bytes; False when memory is out (the buffer is then unchanged)."""
    cdef Py_ssize_t capacity
    cdef uint8_t* grown
    if buffer.capacity - buffer.len >= extra:
        return True
    capacity = max(buffer.capacity * 2, buffer.len + extra, 256)
    grown = <uint8_t*>PyMem_RawRealloc(buffer.ptr, <size_t>capacity)
    if grown == NULL:
        return False
    buffer.ptr = grown
    buffer.capacity = capacity
    return True


cdef inline void append(Buffer* buffer, const void* data, Py_ssize_t length) noexcept nogil:
    """Copies bytes in; the caller has reserved the room."""
    if length:      # memcpy must not be given NULL, even for nothing (C11 section 7.24.1)
        memcpy(buffer.ptr + buffer.len, data, <size_t>length)
        buffer.len += length


cdef inline void append_span(Buffer* buffer, Span data) noexcept nogil:
    append(buffer, data.ptr, data.len)


cdef inline void release(Buffer* buffer) noexcept nogil:
    PyMem_RawFree(buffer.ptr)
    buffer.ptr = NULL
    buffer.len = buffer.capacity = 0


cdef inline Py_ssize_t kept(Buffer* buffer, Py_ssize_t most) noexcept nogil:
    """Bytes that a buffer holds, once it has been released if that were over `most`."""
    if buffer.capacity > most:
        release(buffer)
    return buffer.capacity
