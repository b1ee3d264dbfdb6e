"""Writes plain Python values as the JSON text that orjson makes of them, straight into a buffer.

What is written is strict JSON by construction, so it needs no walk: keys are those of a dict of plain str, so none
repeats; text comes from the interpreter's own UTF-8, which has no lone surrogates; nesting is bounded; floats are
finite. Anything else is left to orjson, and its text to the strict walk.
"""

import orjson

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.object cimport PyObject
from libc.math cimport isfinite, signbit
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from lexmesh._buffer cimport Buffer, release, reserve
from lexmesh._emit cimport put_decimal
from lexmesh._json cimport MAX_NESTING

cdef extern from "text.h" nogil:
    size_t lm_put_plain(uint8_t* to, const uint8_t* ptr, size_t length) noexcept

cdef extern from "Python.h":
    bint PyUnicode_CheckExact(object value) noexcept
    bint PyLong_CheckExact(object value) noexcept
    bint PyDict_CheckExact(object value) noexcept
    bint PyList_CheckExact(object value) noexcept
    bint PyTuple_CheckExact(object value) noexcept
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    const void* PyUnicode_DATA(object text) noexcept
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) except? -1
    bint PyDict_Next(object mapping, Py_ssize_t* at, PyObject** key, PyObject** value) noexcept
    Py_ssize_t Py_SIZE(object sequence) noexcept
    PyObject** PySequence_Fast_ITEMS(object sequence) noexcept

cdef enum:
    NUMBER = 32             # bytes that suffice for an integer or a short decimal
    MOST_DECIMALS = 6
    COPIED = 16             # bytes that a copy of a text may write behind it

cdef object dumps = orjson.dumps

cdef int64_t[7] POWERS
POWERS[:] = [1, 10, 100, 1000, 10000, 100000, 1000000]

cdef double LARGEST_SHORT = 1e15    # up to here a decimal of this many digits is the shortest that reads as its double
cdef double SMALLEST_SHORT = 1e-3   # well above where orjson turns to exponents


cdef inline bint put_byte(Buffer* out, uint8_t byte) noexcept:
    if not reserve(out, 1):
        return False
    out.ptr[out.len] = byte
    out.len += 1
    return True


cdef bint put_word(Buffer* out, const char* word, Py_ssize_t length) except -1:
    if not reserve(out, length):
        raise MemoryError
    memcpy(out.ptr + out.len, word, <size_t>length)
    out.len += length
    return True


cdef bint put_str(Buffer* out, object text) except -1:
    """Quotes and backslashes are escaped here; control characters are orjson's."""
    cdef Py_ssize_t length
    cdef const uint8_t* at
    cdef const uint8_t* end
    cdef uint8_t* to
    cdef size_t run
    if PyUnicode_IS_COMPACT_ASCII(text):
        length = PyUnicode_GET_LENGTH(text)
        at = <const uint8_t*>PyUnicode_DATA(text)
    else:
        try:
            at = <const uint8_t*>PyUnicode_AsUTF8AndSize(text, &length)
        except UnicodeEncodeError:      # lone surrogates
            return False
    end = at + length
    if not reserve(out, 2 * length + 2 + COPIED):
        raise MemoryError
    to = out.ptr + out.len
    to[0] = c'"'
    to += 1
    while True:
        run = lm_put_plain(to, at, <size_t>(end - at))
        at += run
        to += run
        if at >= end:
            break
        if at[0] < 0x20:
            return False
        if at[0] < 0x80:
            to[0] = c'\\'
            to += 1
        to[0] = at[0]
        to += 1
        at += 1
    to[0] = c'"'
    out.len = to + 1 - out.ptr
    return True


cdef bint put_int(Buffer* out, object value) except -1:
    cdef int overflow = 0
    cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
    cdef uint8_t* at
    if overflow:
        return False
    if not reserve(out, NUMBER):
        raise MemoryError
    at = out.ptr + out.len
    if number < 0:
        at[0] = c'-'
        at += 1
    out.len = put_decimal(at, -<uint64_t>number if number < 0 else <uint64_t>number) - out.ptr
    return True


cdef bint put_float(Buffer* out, double value) except -1:
    """Writes a double that is a decimal of few digits: at most 15, so that no shorter one reads as the same double."""
    cdef double size = -value if value < 0 else value
    cdef int64_t scaled, whole, rest
    cdef int decimals, i
    cdef uint8_t* at
    if not SMALLEST_SHORT <= size < LARGEST_SHORT:
        return value == 0 and not signbit(value) and put_word(out, "0.0", 3)
    for decimals in range(MOST_DECIMALS + 1):
        if size * <double>POWERS[decimals] >= LARGEST_SHORT:
            return False
        scaled = <int64_t>(size * <double>POWERS[decimals] + 0.5)
        if <double>scaled / <double>POWERS[decimals] == size:   # the quotient of two exact doubles is rounded correctly
            break
    else:
        return False
    if not reserve(out, NUMBER):
        raise MemoryError
    at = out.ptr + out.len
    if value < 0:
        at[0] = c'-'
        at += 1
    whole, rest = scaled // POWERS[decimals], scaled % POWERS[decimals]
    at = put_decimal(at, <uint64_t>whole)
    at[0] = c'.'
    if decimals == 0:
        decimals = 1
    for i in range(decimals, 0, -1):
        at[i] = <uint8_t>(c'0' + rest % 10)
        rest //= 10
    out.len = at + 1 + decimals - out.ptr
    return True


cdef bint put_long_float(Buffer* out, object value) except -1:
    """Any other finite double, by orjson, which calls nothing for it."""
    cdef bytes text
    if not isfinite(PyFloat_AS_DOUBLE(value)):      # orjson says null
        return False
    text = dumps(value)
    return put_word(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef bint put_members(Buffer* out, object members, int depth) except -1:
    cdef Py_ssize_t at = 0
    cdef PyObject* key
    cdef PyObject* value
    if depth > MAX_NESTING or not put_byte(out, c'{'):
        return False
    while PyDict_Next(members, &at, &key, &value):
        if not (PyUnicode_CheckExact(<object>key) and put_str(out, <object>key) and put_byte(out, c':')
                and put_value(out, <object>value, depth) and put_byte(out, c',')):
            return False
    if out.ptr[out.len - 1] == c',':
        out.len -= 1
    return put_byte(out, c'}')


cdef bint put_items(Buffer* out, object sequence, int depth) except -1:
    cdef Py_ssize_t i
    if depth > MAX_NESTING or not put_byte(out, c'['):
        return False
    for i in range(Py_SIZE(sequence)):
        if i and not put_byte(out, c','):
            return False
        if not put_value(out, <object>PySequence_Fast_ITEMS(sequence)[i], depth):
            return False
    return put_byte(out, c']')


cdef bint put_value(Buffer* out, object value, int depth) except -1:
    """`depth` is how many containers are open."""
    if PyUnicode_CheckExact(value):
        return put_str(out, value)
    if PyFloat_CheckExact(value):
        return put_float(out, PyFloat_AS_DOUBLE(value)) or put_long_float(out, value)
    if PyLong_CheckExact(value):
        return put_int(out, value)
    if PyDict_CheckExact(value):
        return put_members(out, value, depth + 1)
    if PyList_CheckExact(value) or PyTuple_CheckExact(value):
        return put_items(out, value, depth + 1)
    if value is None:
        return put_word(out, "null", 4)
    if value is True:
        return put_word(out, "true", 4)
    return put_word(out, "false", 5) if value is False else False


cdef bint dump(Buffer* out, object value) except -1:
    """Appends a value as JSON text.

    No Python code runs, so nothing that is read can change meanwhile.

    Returns:
        Whether the value is one that is written here; if not, the buffer is as it was.
    """
    cdef Py_ssize_t before = out.len
    cdef bint written = put_value(out, value, 0)
    if not written:
        out.len = before
    return written


def dumped(value):
    """What this module writes for a value.

    Args:
        value: anything.

    Returns:
        JSON text in UTF-8, None for what is left to orjson.
    """
    cdef Buffer out
    memset(&out, 0, sizeof(Buffer))
    try:
        return PyBytes_FromStringAndSize(<const char*>out.ptr, out.len) if dump(&out, value) else None
    finally:
        release(&out)
