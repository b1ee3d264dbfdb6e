"""A reading: an event seen as a kind of data and its value."""

from lexmesh._codec cimport StreamEvent


cdef class StreamData(StreamEvent):
    """A reading: an event whose type is a data type and whose data is the value.

    Args:
        data_type: a DataType or any subject.
        value: the reading; anything JSON-able, or bytes.
        **fields: as for StreamEvent.
    """

    def __init__(self, data_type, value=None, **fields):
        super().__init__(data_type, value, **fields)

    @property
    def data_type(self):
        """The kind of reading; the same as event_type."""
        return self.event_type

    @data_type.setter
    def data_type(self, value):
        self.event_type = value

    @property
    def value(self):
        """The reading; the same as data."""
        return self.data

    @value.setter
    def value(self, value):
        self.data = value
