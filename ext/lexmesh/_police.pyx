"""What the policy says of messages, recorded and counted."""

from lexmesh._envelope cimport Envelope
from lexmesh._ledger cimport DENIED, MALFORMED, UNDECIDED, Ingress
from lexmesh._nsr cimport Scanner
from lexmesh._router cimport Endpoint, Router, Subject
from lexmesh._span cimport Status
from lexmesh._status cimport reason_of


cdef class Police:
    """Asks the policy, and keeps account of what it refused.

    Args:
        scanner: the compiled consent policy.
    """

    def __init__(self, Scanner scanner not None):
        self.scanner = scanner
        self.router = Router()
        self.denials = {}
        self.flags = {}

    cdef inline Ingress _count(self, Ingress outcome, Subject* subject, Endpoint source) noexcept nogil:
        if outcome != UNDECIDED:
            source.tally.ingress[<int>outcome] += 1
            subject.tally.ingress[<int>outcome] += 1
        return outcome

    cdef Ingress _malformed(self, Status status, Py_ssize_t at, Endpoint source) except? UNDECIDED:
        return self.refuse(f"{reason_of(status)} at byte {at}", source)

    cdef Ingress refuse(self, str reason, Endpoint source) except? UNDECIDED:
        """Counts what is no message as a malformed one, records it and tells its source why."""
        source.tally.taken += 1
        self.router.unknown.tally.taken += 1
        self._record(NULL, source, "malformed", reason, True)
        source.refused(NULL, <int>MALFORMED, reason, "")
        return self._count(MALFORMED, &self.router.unknown, source)

    cdef inline bint _police(self, Envelope* env, Subject* subject, Endpoint source) except -1:
        """Whether the policy lets a message pass; a refusal is counted by rule, recorded, and told to the source."""
        cdef bint allowed = self.scanner.allows(env, &self.verdict)
        if not allowed:
            self._deny(env, subject, source)
        elif self.verdict.flagged:
            self._flag(env, subject, source)
        return allowed

    cdef int _deny(self, Envelope* env, Subject* subject, Endpoint source) except -1:
        cdef str rule = self.scanner.rule_name(&self.verdict)
        cdef str path = self.scanner.path()
        if not subject.reserved:
            self.denials[rule] = self.denials.get(rule, 0) + 1
        self._record(env, source, rule, path, True)
        return source.refused(env, <int>DENIED, rule, path)

    cdef int _flag(self, Envelope* env, Subject* subject, Endpoint source) except -1:
        """Counts and records a message that passes, but matched a rule that only flags."""
        cdef str rule = self.scanner.rules[self.verdict.flag_rule]
        if not subject.reserved:
            self.flags[rule] = self.flags.get(rule, 0) + 1
        return self._record(env, source, rule, self.scanner.path(), False)

    cdef int _record(self, const Envelope* env, Endpoint source, str rule, str path, bint denied) except -1:
        """Tells the auditor what the policy said; `env` is NULL for what could not be decoded."""
        cdef str node = "", id = "", subject = ""
        if self.auditor is None:
            return 0
        if env != NULL:
            node = env.source_node.ptr[:env.source_node.len].decode()
            subject = env.event_type.ptr[:env.event_type.len].decode()
            if env.source_node.len and (env.epoch or env.seq):
                id = f"{node}:{env.epoch}:{env.seq}"
        self.auditor(self.now, source, id, node, subject, rule, path, denied, env.depth if env != NULL else 0)
        return 0
