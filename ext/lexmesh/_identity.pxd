"""Ids as text."""

from libc.stdint cimport uint64_t


cdef str printed_id(str source, uint64_t epoch, uint64_t seq)
