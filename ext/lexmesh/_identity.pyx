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
    NUMBER = 20         # bytes of a number of 64 bits
    MOST_KEPT = 256     # bytes of a beginning that is kept

cdef str kept_source = None             # of the id printed last: the next one mostly begins with the same `source:epoch:`
cdef uint64_t kept_epoch = 0
cdef uint8_t[MOST_KEPT + NUMBER + 2] kept
cdef Py_ssize_t kept_len = 0


cdef bint keep(str source, uint64_t epoch) noexcept:
    """Writes what an id begins with; False for a source that is not ASCII, or long."""
    global kept_source, kept_epoch, kept_len
    cdef Py_ssize_t length = PyUnicode_GET_LENGTH(source)
    cdef uint8_t* at
    if not PyUnicode_IS_COMPACT_ASCII(source) or length > MOST_KEPT:
        return False
    memcpy(kept, PyUnicode_DATA(source), <size_t>length)
    kept[length] = c':'
    at = put_decimal(kept + length + 1, epoch)
    at[0] = c':'
    kept_source, kept_epoch, kept_len = source, epoch, at + 1 - kept
    return True


cdef str printed_id(str source, uint64_t epoch, uint64_t seq):
    """An id; made in place, since every event that is published returns one."""
    cdef uint8_t tail[NUMBER]
    cdef Py_ssize_t length
    cdef object id
    if (source is not kept_source or epoch != kept_epoch) and not keep(source, epoch):
        return f"{source}:{epoch}:{seq}"
    length = put_decimal(tail, seq) - tail
    id = PyUnicode_New(kept_len + length, 127)
    memcpy(PyUnicode_DATA(id), kept, <size_t>kept_len)
    memcpy(<uint8_t*>PyUnicode_DATA(id) + kept_len, tail, <size_t>length)
    return id
