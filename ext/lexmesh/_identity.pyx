"""An event's id, printed: `source:epoch:seq`."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from lexmesh._emit cimport put_decimal

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    object PyUnicode_New(Py_ssize_t length, unsigned int largest)
    void* PyUnicode_DATA(object text) noexcept

cdef enum:
    NUMBERS = 42        # bytes of two colons and two numbers of 64 bits


cdef str printed_id(str source, uint64_t epoch, uint64_t seq):
    """An id; made in place, since every event that is published returns one."""
    cdef uint8_t tail[NUMBERS]
    cdef uint8_t* at
    cdef Py_ssize_t length = PyUnicode_GET_LENGTH(source)
    cdef object id
    if not PyUnicode_IS_COMPACT_ASCII(source):
        return f"{source}:{epoch}:{seq}"
    tail[0] = c':'
    at = put_decimal(tail + 1, epoch)
    at[0] = c':'
    at = put_decimal(at + 1, seq)
    id = PyUnicode_New(length + (at - tail), 127)
    memcpy(PyUnicode_DATA(id), PyUnicode_DATA(source), <size_t>length)
    memcpy(<uint8_t*>PyUnicode_DATA(id) + length, tail, <size_t>(at - tail))
    return id
