"""Texts of messages as str. Names (subjects, sources, keys of metadata) come again and again: the last ones are kept."""

import os

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint64_t

from lexmesh._span cimport Span, lm_hash, lm_plain_prefix, lm_same_short, span

cdef extern from "text.h" nogil:
    void lm_set_hash_key(uint64_t key) noexcept
    bint lm_is_short_ascii(const uint8_t* ptr, size_t length) noexcept

cdef extern from "Python.h":
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept

cdef enum:
    KEPT_NAMES = 512        # power of two
    LONGEST_KEPT = 64       # bytes

lm_set_hash_key(int.from_bytes(os.urandom(8), "little"))

cdef list names = [""] * KEPT_NAMES


cdef inline bint is_plain(Span text) noexcept:
    return lm_is_short_ascii(text.ptr, <size_t>text.len) or (
        <Py_ssize_t>lm_plain_prefix(text.ptr, <size_t>text.len) == text.len)


cdef str text_at(Span text):
    """A text that is valid UTF-8."""
    if text.len == 0:
        return ""
    return plain_text_at(text) if is_plain(text) else PyUnicode_DecodeUTF8(<const char*>text.ptr, text.len, NULL)


cdef inline bint is_kept(str kept, Span name) noexcept:
    """Whether this is the name; all that is kept is ASCII, one byte a character."""
    return PyUnicode_GET_LENGTH(kept) == name.len and lm_same_short(
        <const uint8_t*>PyUnicode_DATA(kept), name.ptr, <size_t>name.len)


cdef inline size_t slot_of(Span name) noexcept:
    return <size_t>lm_hash(name.ptr, <size_t>name.len) & <size_t>(KEPT_NAMES - 1)


cdef str name_at(Span name):
    """A text that is valid UTF-8 and has probably been read before."""
    cdef size_t slot
    cdef str kept
    if name.len == 0 or name.len > LONGEST_KEPT:
        return text_at(name)
    slot = slot_of(name)
    kept = <str>names[slot]
    if is_kept(kept, name):
        return kept
    if not is_plain(name):
        return text_at(name)
    kept = names[slot] = plain_text_at(name)
    return kept


cdef str plain_name_at(Span name):
    """name_at for a text that is known to be ASCII."""
    cdef size_t slot
    cdef str kept
    if name.len == 0 or name.len > LONGEST_KEPT:
        return plain_text_at(name)
    slot = slot_of(name)
    kept = <str>names[slot]
    if not is_kept(kept, name):
        kept = names[slot] = plain_text_at(name)
    return kept


def name_of(bytes text not None):
    """A name as messages give it.

    Args:
        text: UTF-8.

    Returns:
        The text; the very str of the last time while its place has not been taken by another name.
    """
    return name_at(span(<const uint8_t*>text, len(text)))
