"""The publishing half of a client, compiled whole: a call of the user's is the only Python call a message."""

from lexmesh._handlers import cause_depth

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport uint32_t

from lexmesh._clock cimport now_ms
from lexmesh._sender cimport Sender

cdef extern from "Python.h":
    int PyContextVar_Get(object var, PyObject* otherwise, PyObject** value) except -1

cdef object depth_of_cause = cause_depth


cdef uint32_t current_depth() except? 1:
    """Hops of what an async handler is running for, plus one; 0 outside."""
    cdef PyObject* found = NULL
    cdef object depth
    PyContextVar_Get(depth_of_cause, NULL, &found)
    depth = <object>found
    Py_DECREF(depth)            # the call gave a reference of its own
    return depth


cdef class Publisher:
    """Publishes through whichever sender it is given.

    Attributes:
        sent: events published.
    """

    def publish_through(self, Sender sender not None):
        """Has events go there from now on."""
        self.sender = sender

    def publish(self, event_type, data=None, *, metadata=None, target_node="", ttl=None, uint32_t priority=0,
                reply_to=""):
        """Polices an event and queues it for the gateway, without waiting.

        Args:
            event_type, data, metadata, target_node, ttl, priority, reply_to: as in StreamEvent.

        Returns:
            The event's id.

        Raises:
            DeniedError: if this node's policy refuses it; it is counted, takes no number and does not leave. The
                gateway may still deny what passes here: its receipts tell.
            DisconnectedError: if there is no connection.
            MalformedError: if the fields do not make a message.
            TypeError: if a field has the wrong type.
        """
        cdef str id = self.sender.say(event_type, data, metadata, target_node, now_ms(), ttl, priority, reply_to,
                                      current_depth())
        self.sent += 1
        return id

    def publish_json(self, event_type, bytes line not None, *, metadata=None):
        """Queues an event whose data is JSON text already.

        Args:
            event_type: the subject.
            line: one JSON value, UTF-8.
            metadata: str to str.

        Returns:
            The event's id.

        Raises:
            DeniedError: if this node's policy refuses it.
            DisconnectedError: if there is no connection.
            MalformedError: if the line is not strict JSON; nothing is sent then.
        """
        cdef str id = self.sender.say_json(event_type, line, metadata, now_ms())
        self.sent += 1
        return id
