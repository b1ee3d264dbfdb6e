"""Texts of messages as str."""

from libc.string cimport memcpy

from lexmesh._span cimport Span

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t length, unsigned int largest)
    void* PyUnicode_DATA(object text) noexcept


cdef inline str plain_text_at(Span text):
    """A text that is ASCII."""
    cdef object made = PyUnicode_New(text.len, 127)
    memcpy(PyUnicode_DATA(made), text.ptr, <size_t>text.len)
    return <str>made


cdef str text_at(Span text)
cdef str name_at(Span name)
cdef str plain_name_at(Span name)
