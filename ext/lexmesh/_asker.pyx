"""A client whose every message is answered: what it sends goes through the pipeline, and what became of it comes back.

Most messages are answered on the spot, without a Python object but the answer's bytes. One that async filters or
handlers still work on has an Answer, which says when they are done.
"""

from lexmesh._ledger import INGRESS_NAMES

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int64_t, uint8_t, uint64_t

from lexmesh._answers cimport data_response, event_response
from lexmesh._clock cimport now_ms
from lexmesh._envelope cimport HAS_EPOCH, PROTO, Envelope, Pair, clear
from lexmesh._identity cimport printed_id
from lexmesh._ledger cimport DENIED, DUPLICATE, ROUTED, UNDECIDED, Drop, Ingress
from lexmesh._names cimport name_at
from lexmesh._pipeline cimport Core
from lexmesh._relay cimport Relay
from lexmesh._router cimport Endpoint, Subject
from lexmesh._span cimport OK, TOO_BIG, UNKNOWN_FIELD, Span, Status, span
from lexmesh._status cimport malformed

cdef tuple OUTCOMES = tuple(name.encode() for name in INGRESS_NAMES)
cdef bytes CALL_SUBJECT = b"_lexmesh.call"
cdef str RESERVED = "refused: types that begin with _lexmesh. are reserved and mean nothing here"


cdef inline Span bytes_span(bytes data):
    return span(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef bytes written(bint success, bytes text, object id, int64_t now):
    """An answer: to a reading if there is an id, even an empty one, else to an event."""
    if id is None:
        return event_response(success, bytes_span(text), now)
    return data_response(success, bytes_span(text), bytes_span(<bytes>id), now)


cdef bytes id_of(const Envelope* env):
    """What a message goes by; empty where neither it nor this node has a name."""
    return printed_id(name_at(env.source_node), env.epoch, env.seq).encode() if env.source_node.len else b""


cdef class Answer:
    """What became of a message, once its async filters and handlers are done."""

    def when_done(self, callback):
        """Has a callable called with the answer's bytes once it is there, which may be at once."""
        self.on_done = callback
        self.finish()

    def abandon(self):
        """Says that nobody reads the answer any more: what handlers still answer is counted as dropped."""
        self.abandoned = True
        self.on_done = None

    cdef bytes message(self, int64_t now):
        if self.fault is not None:
            return written(False, self.fault.encode(), self.id, now)
        return written(True, b"\n".join(self.texts) if self.texts else OUTCOMES[<int>self.outcome], self.id, now)

    cdef int finish(self) except -1:
        """Tells whoever waits, once nothing runs any more."""
        cdef object on_done
        if self.waits or self.outcome == UNDECIDED:
            return 0
        for event in self.events:
            del self.asker.waiting[id(event)]
        self.events.clear()
        if self.returned and self.on_done is not None:
            on_done, self.on_done = self.on_done, None
            on_done(self.message(now_ms()))
        return 0


cdef class Asker(Endpoint):
    """One client.

    Args:
        core: the node's pipeline.
        owner: has remote_address, is_open, pause() and resume().
        epoch: stamp for messages that come in without a number, milliseconds since 1970-01-01 UTC.
    """

    def __init__(self, Core core not None, owner, uint64_t epoch):
        self.core = core
        self.owner = owner
        self.epoch = epoch
        self.waiting = {}

    # -- messages ------------------------------------------------------------------------------------------------

    def event(self, bytes message not None, tuple refusal=None):
        """Takes in an EventMessage.

        Args:
            message: as it came.
            refusal: what `refusal_of` said of the call that it came in.

        Returns:
            An EventResponse as bytes, or an Answer that will have one.

        Raises:
            MalformedError: it cannot be decoded, or is too big; it has been counted.
        """
        return self.take(message, False, refusal)

    def reading(self, bytes message not None, tuple refusal=None):
        """Takes in a DataMessage.

        Args:
            message, refusal: as for `event`.

        Returns:
            A DataResponse as bytes, or an Answer that will have one.

        Raises:
            MalformedError: it cannot be decoded, or is too big; it has been counted.
        """
        return self.take(message, True, refusal)

    cdef object take(self, bytes message, bint is_reading, tuple refusal):
        """Takes in one message. A DataMessage is an EventMessage that ends with field 6."""
        cdef Core core = self.core
        cdef Envelope env
        cdef Py_ssize_t at = 0
        cdef int64_t now = now_ms()
        cdef Status status = TOO_BIG
        cdef Ingress outcome
        cdef Answer answer
        cdef object id = None
        core.check_thread()
        core.now = now
        self.fault = None
        self.current = None
        if PyBytes_GET_SIZE(message) <= core.max_message_size:
            status = core.decoder.decode(bytes_span(message), PROTO, &env, &at)
            if status == OK and is_reading and env.has >= HAS_EPOCH:
                status = UNKNOWN_FIELD
        if status != OK:
            core._malformed(status, at, self)
            raise malformed(status, at)
        outcome = core.admit(&env, self, now) if refusal is None else self._deny(&env, refusal)
        if is_reading:      # the spans of names point into `message` still, or to the node's own name
            id = b"" if self.fault is not None else id_of(&env)
        answer, self.current = self.current, None
        if answer is None:
            if self.fault is not None:
                return written(False, self.fault.encode(), id, now)
            return written(True, <bytes>OUTCOMES[<int>outcome], id, now)
        answer.id = id
        answer.outcome = outcome
        if answer.waits == 0:
            answer.finish()
            return answer.message(now)
        answer.returned = True
        return answer

    cdef Ingress _deny(self, const Envelope* env, tuple refusal) except *:
        """Counts a message as denied for what its call's metadata holds."""
        cdef Core core = self.core
        cdef Subject* subject = core.router.find(env.event_type)
        cdef str rule = refusal[0]
        cdef str path = refusal[1]
        core._record(env, self, rule, path, True)
        self.refused(env, <int>DENIED, rule, path)
        if subject.reserved:
            return ROUTED
        core.denials[rule] = core.denials.get(rule, 0) + 1
        self.tally.taken += 1
        subject.tally.taken += 1
        return core._count(DENIED, subject, self)

    # -- what the pipeline tells ---------------------------------------------------------------------------------

    cdef int refused(self, const Envelope* env, int outcome, str reason, str path) except -1:
        cdef str fault = reason
        if outcome == DUPLICATE:        # it is here, as the client wants it to be
            return 0
        if outcome == DENIED:
            fault = f"denied: {reason} at {path}" if path else f"denied: {reason}"
        elif reason != INGRESS_NAMES[outcome]:
            fault = f"{INGRESS_NAMES[outcome]}: {reason}"
        if self.current is None:
            self.fault = fault
        else:
            self.current.fault = fault
            if self.current.id is not None:
                self.current.id = b""
        return 0

    cdef int control(self, const Envelope* env) except -1:
        self.fault = RESERVED
        return 0

    cdef int deliver(self, Relay* relay, Subject* subject, Endpoint source, object event) except -1:
        """Takes what a handler answered to `event`."""
        cdef Answer answer = self._answer_to(event)
        if answer.abandoned:
            self.drop(subject, Drop.DISCONNECTED, 1)
            return 0
        answer.texts.append(PyBytes_FromStringAndSize(<const char*>relay.env.payload.ptr, relay.env.payload.len))
        self.pending -= 1
        self.tally.delivered += 1
        subject.tally.delivered += 1
        return 0

    cdef int wait_for(self, object event) except -1:
        cdef Answer answer = self._answer_to(event)
        answer.waits += 1
        if id(event) not in self.waiting:
            self.waiting[id(event)] = answer
            answer.events.append(event)
        return 0

    cdef int take_up(self, object event) except -1:
        self.current = self.waiting[id(event)]
        return 0

    cdef int done_with(self, object event, int outcome) except -1:
        cdef Answer answer = self.waiting[id(event)]
        answer.waits -= 1
        if outcome != UNDECIDED:
            answer.outcome = <Ingress>outcome
            self.current = None
        return answer.finish()

    cdef Answer _answer_to(self, object event):
        """The answer to a message, made if the message being taken in has none."""
        cdef Answer answer = self.waiting.get(id(event))
        if answer is not None:
            return answer
        if self.current is None:
            self.current = Answer.__new__(Answer)
            self.current.asker = self
            self.current.outcome = UNDECIDED
            self.current.texts = []
            self.current.events = []
        return self.current

    def answer_denied(self, event, str reason not None):
        """Answers that the message was handled, but that what its handler answered may not leave.

        Args:
            event: the message.
            reason: rule and place.
        """
        self._answer_to(event).fault = f"the answer was {reason}"

    # -- the call ------------------------------------------------------------------------------------------------

    def refusal_of(self, metadata):
        """Polices the metadata of a call, like that of any message.

        Args:
            metadata: pairs of a key and a value, str or, for keys that end with `-bin`, bytes.

        Returns:
            The rule that it breaks and where; None if the policy lets it pass.
        """
        cdef list texts = []
        cdef Core core = self.core
        core.check_thread()
        for key, value in metadata:
            texts.append(key.encode() if type(key) is str else key)
            texts.append(value.encode() if type(value) is str else value.decode("utf-8", "replace").encode())
        if not texts or self._police_call(texts):
            return None
        return core.scanner.rule_name(&core.verdict), core.scanner.path()

    cdef bint _police_call(self, list texts) except -1:
        """Whether the policy lets pairs of texts pass as the metadata of a message without anything else."""
        cdef Core core = self.core
        cdef Envelope env
        cdef Py_ssize_t count = len(texts) // 2
        cdef Py_ssize_t i
        cdef bint allowed
        cdef Pair* pairs = <Pair*>PyMem_RawMalloc(<size_t>count * sizeof(Pair))
        if pairs == NULL:
            raise MemoryError
        clear(&env)
        env.event_type = bytes_span(CALL_SUBJECT)
        env.metadata = pairs
        env.metadata_count = count
        for i in range(count):
            pairs[i].key = bytes_span(<bytes>texts[2 * i])
            pairs[i].value = bytes_span(<bytes>texts[2 * i + 1])
            env.raw.len += pairs[i].key.len + pairs[i].value.len
        try:
            core.now = now_ms()
            allowed = core.scanner.allows(&env, &core.verdict)
            if allowed and core.verdict.flagged:
                core._flag(&env, &core.router.control, self)
        finally:
            PyMem_RawFree(pairs)
        return allowed
