"""Texts of messages as str. Names (subjects, sources, keys of metadata) come again and again: the last ones are kept."""

import os

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from lexmesh._span cimport Span, lm_hash, lm_plain_prefix, span

cdef extern from "text.h" nogil:
    void lm_set_hash_key(uint64_t key) noexcept

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t length, unsigned int largest)
    void* PyUnicode_DATA(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept

cdef enum:
    KEPT_NAMES = 512        # power of two
    LONGEST_KEPT = 64       # bytes

lm_set_hash_key(int.from_bytes(os.urandom(8), "little"))

cdef list names = [""] * KEPT_NAMES


cdef inline str ascii_at(Span text):
    cdef object made = PyUnicode_New(text.len, 127)
    memcpy(PyUnicode_DATA(made), text.ptr, <size_t>text.len)
    return made


cdef inline bint is_plain(Span text) noexcept:
    return <Py_ssize_t>lm_plain_prefix(text.ptr, <size_t>text.len) == text.len


cdef str text_at(Span text):
    """A text that is valid UTF-8."""
    if text.len == 0:
        return ""
    return ascii_at(text) if is_plain(text) else PyUnicode_DecodeUTF8(<const char*>text.ptr, text.len, NULL)


cdef str name_at(Span name):
    """A text that is valid UTF-8 and has probably been read before."""
    cdef size_t slot
    cdef str kept
    if name.len == 0 or name.len > LONGEST_KEPT or not is_plain(name):
        return text_at(name)
    slot = <size_t>lm_hash(name.ptr, <size_t>name.len) & <size_t>(KEPT_NAMES - 1)
    kept = <str>names[slot]     # all that is kept is ASCII, one byte a character
    if PyUnicode_GET_LENGTH(kept) != name.len or memcmp(PyUnicode_DATA(kept), name.ptr, <size_t>name.len) != 0:
        kept = names[slot] = ascii_at(name)
    return kept


def name_of(bytes text not None):
    """A name as messages give it.

    Args:
        text: UTF-8.

    Returns:
        The text; the very str of the last time while its place has not been taken by another name.
    """
    return name_at(span(<const uint8_t*>text, len(text)))
