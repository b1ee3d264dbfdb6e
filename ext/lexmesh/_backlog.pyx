"""The bookkeeping half of an outbox: which messages wait, so that each is counted when it leaves or is dropped."""

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.stdint cimport uint32_t
from libc.string cimport memmove

from lexmesh._ledger cimport Drop
from lexmesh._router cimport Endpoint, Subject

cdef enum:
    FEW_RECORDS = 4


cdef class Backlog(Endpoint):
    def __dealloc__(self):
        PyMem_RawFree(self.records)

    cdef int _record(self, Subject* subject, uint32_t size, bint starts_frame) except -1:
        """Notes what was queued. Neighbours of one subject share a record where no overflow policy needs them apart."""
        cdef Py_ssize_t end = self.record_first + self.record_count
        cdef Record* grown
        if counted(self, subject, size):
            return 0
        if end == self.record_capacity:
            if self.record_first > self.record_count:
                memmove(self.records, self.records + self.record_first, <size_t>self.record_count * sizeof(Record))
            else:
                grown = <Record*>PyMem_RawRealloc(self.records, <size_t>(end * 2 + FEW_RECORDS) * sizeof(Record))
                if grown == NULL:
                    raise MemoryError
                self.records = grown
                self.record_capacity = end * 2 + FEW_RECORDS
                memmove(self.records, self.records + self.record_first, <size_t>self.record_count * sizeof(Record))
            self.record_first = 0
            end = self.record_count
        self.records[end] = Record(subject, 1, size, starts_frame, self.round)
        self.record_count += 1
        return 0

    cdef void _settle(self, Py_ssize_t count) noexcept:
        """Counts the first records as delivered."""
        cdef Py_ssize_t i
        cdef Record* record
        for i in range(self.record_first, self.record_first + count):
            record = &self.records[i]
            if record.subject != NULL:
                record.subject.tally.delivered += record.count
                self.tally.delivered += record.count
                self.pending -= record.count
        self.record_first += count
        self.record_count -= count
        self.riding = 0
        if self.record_count == 0:
            self.record_first = 0

    cdef void _settle_messages(self, Py_ssize_t count) noexcept:
        """Counts the first messages as delivered, be they only some of a record's."""
        cdef Record* record
        cdef uint32_t some
        while count > 0 and self.riding > 0:
            record = &self.records[self.record_first]
            some = <uint32_t>min(count, <Py_ssize_t>record.count)
            if record.subject != NULL:
                record.subject.tally.delivered += some
                self.tally.delivered += some
                self.pending -= some
            record.count -= some
            count -= some
            if record.count == 0:
                self.record_first += 1
                self.record_count -= 1
                self.riding -= 1

    cdef void _drop_records(self, Py_ssize_t keep, Drop reason) noexcept:
        """Counts all records but the first `keep` as dropped."""
        cdef Py_ssize_t i
        for i in range(self.record_first + keep, self.record_first + self.record_count):
            if self.records[i].subject != NULL:
                self.drop(self.records[i].subject, reason, self.records[i].count)
        self.record_count = keep
        self.riding = min(self.riding, keep)
        if keep == 0:
            self.record_first = 0

    cdef void _trim_records(self) noexcept:
        """Gives back what a burst left behind, once nothing waits."""
        if self.record_count == 0 and self.record_capacity > FEW_RECORDS:
            PyMem_RawFree(self.records)
            self.records = NULL
            self.record_first = self.record_capacity = 0

    @property
    def idle(self):
        """Whether all that was put here has left."""
        return self.record_count == 0
