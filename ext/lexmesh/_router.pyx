"""Subjects to endpoints. Matching a subject is one hash lookup while subscriptions stay as they are."""

import os

from lexmesh.errors import SubjectError

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from lexmesh._envelope cimport MAX_NAME, parse_id
from lexmesh._ledger cimport Drop, Ingress, Tally, add, egress_counts, ingress_counts
from lexmesh._span cimport Span, lm_hash, same, same_name, span

cdef extern from "text.h" nogil:
    void lm_set_hash_key(uint64_t key) noexcept

lm_set_hash_key(int.from_bytes(os.urandom(8), "little"))


cdef uint64_t endpoints_made = 0


cdef class Endpoint:
    def __cinit__(self):
        global endpoints_made
        endpoints_made += 1
        self.number = endpoints_made

    cdef int deliver(self, Relay* relay, Subject* subject, Endpoint source, object event) except -1:
        """Takes one routed message; the ledger has it as offered and pending already."""
        self.drop(subject, Drop.DISCONNECTED, 1)
        return 0

    cdef int refused(self, const Envelope* env, int outcome, str reason, str path) except -1:
        """Learns that a message from here was not routed; `env` is NULL when it could not be decoded."""
        return 0

    cdef int control(self, const Envelope* env) except -1:
        """Takes a reserved message that came from here."""
        return 0

    cdef int wait_for(self, object event) except -1:
        """Learns that an async filter or handler begins to work on a message from here."""
        return 0

    cdef int take_up(self, object event) except -1:
        """Learns that filters have let go of a message from here: what is told now is about that one."""
        return 0

    cdef int done_with(self, object event, int outcome) except -1:
        """Learns that one of them is done; with the message's Ingress if it was a filter, else UNDECIDED."""
        return 0

    cdef void drop(self, Subject* subject, Drop reason, uint64_t count) noexcept nogil:
        self.pending -= count
        self.tally.dropped[<int>reason] += count
        subject.tally.dropped[<int>reason] += count

    @property
    def passed(self):
        """How many messages from here got past the policy and the decoder to routing."""
        return self.tally.ingress[<int>Ingress.ROUTED] + self.tally.ingress[<int>Ingress.UNROUTABLE]

    @property
    def patterns(self):
        """The patterns it subscribed to."""
        return tuple(self.subjects or ())

    def counts(self):
        """What came from here and what went here, by outcome."""
        return {
            "name": self.name or "",
            "ingress": ingress_counts(&self.tally),
            "egress": egress_counts(&self.tally, self.pending),
        }


cdef list tokens_of(str pattern):
    """The tokens of a subscription; `*` stands for one token, `>` at the end for one or more."""
    cdef list tokens = pattern.split(".")
    for i, token in enumerate(tokens):
        if not token or any(c <= " " or c == "\x7f" for c in token):
            raise SubjectError(f"{pattern!r} is not a subject: tokens between dots, without spaces, none empty")
        if len(token) > 1 and ("*" in token or ">" in token):
            raise SubjectError(f"{pattern!r}: '*' and '>' stand only for whole tokens, as in 'a.*' and 'a.>'")
        if token == ">" and i != len(tokens) - 1:
            raise SubjectError(f"{pattern!r}: '>' stands only at the end")
    if len(pattern.encode(errors="surrogatepass")) > MAX_NAME:
        raise SubjectError(f"a subject is at most {MAX_NAME} bytes, this one has more")
    if pattern.startswith("_lexmesh."):
        raise SubjectError(f"{pattern!r}: types that begin with _lexmesh. are never published")
    return tokens


def check_pattern(str pattern not None):
    """Checks a subscription.

    Args:
        pattern: tokens between dots; `*` stands for one token, `>` at the end for one or more.

    Raises:
        SubjectError: if it is not such a pattern.
    """
    tokens_of(pattern)


cdef list matches(dict trie, list tokens):
    """All endpoint lists whose pattern matches, walking the trie's literal and `*` branches side by side."""
    cdef list found = []
    cdef list nodes = [trie]
    cdef list following
    cdef dict node, child
    for token in tokens:
        following = []
        for node in nodes:
            child = node.get(">")
            if child is not None:
                found.append(child[None])
            for branch in (token, "*"):
                child = node.get(branch)
                if child is not None:
                    following.append(child)
        nodes = following
    for node in nodes:
        if None in node:
            found.append(node[None])
    return found


cdef class Router:
    """Keeps subscriptions, node names and one entry a subject."""

    def __cinit__(self):
        self.slots = <Subject**>PyMem_RawCalloc(SUBJECT_SLOTS, sizeof(Subject*))
        if self.slots == NULL:
            raise MemoryError
        memset(&self.other, 0, sizeof(Subject))
        memset(&self.unknown, 0, sizeof(Subject))
        memset(&self.control, 0, sizeof(Subject))
        self.control.reserved = True
        self.generation = 1
        self.patterns = {}
        self.named = {}
        self.trie = {}
        self.routes = []
        self.node_links = []
        self.connections = {}

    def __dealloc__(self):
        cdef Py_ssize_t i
        if self.slots != NULL:
            for i in range(SUBJECT_SLOTS):
                PyMem_RawFree(self.slots[i])
            PyMem_RawFree(self.slots)

    cdef Subject* find(self, Span name) noexcept nogil:
        """The entry of a subject, made if there is room, else the one that late subjects share."""
        if self.last != NULL and same_name(self.last.name, name):
            return self.last
        cdef Subject* found = self._search(name)
        if found.name.len:      # else it is shared
            self.last = found
        return found

    cdef Subject* _search(self, Span name) noexcept nogil:
        cdef uint64_t hash = lm_hash(name.ptr, <size_t>name.len)
        cdef size_t slot = <size_t>hash & <size_t>(SUBJECT_SLOTS - 1)
        while self.slots[slot] != NULL:
            if self.slots[slot].hash == hash and same(self.slots[slot].name, name):
                return self.slots[slot]
            slot = (slot + 1) & <size_t>(SUBJECT_SLOTS - 1)
        return self._insert(name, hash, slot)

    cdef Subject* _insert(self, Span name, uint64_t hash, size_t slot) noexcept nogil:
        cdef Subject* subject
        if is_reserved(name):
            return &self.control
        if self.subject_count >= MAX_SUBJECTS:
            return &self.other
        subject = <Subject*>PyMem_RawCalloc(1, sizeof(Subject) + <size_t>name.len)
        if subject == NULL:
            return &self.other
        memcpy(<uint8_t*>subject + sizeof(Subject), name.ptr, <size_t>name.len)
        subject.name = span(<uint8_t*>subject + sizeof(Subject), name.len)
        subject.hash = hash
        self.slots[slot] = subject
        self.subject_count += 1
        return subject

    cdef list route(self, Subject* subject, Span name):
        """The endpoints subscribed to a subject, each once; those of one pattern in the order they subscribed."""
        if subject.generation == self.generation:
            return <list>subject.route
        cdef list lists = matches(self.trie, name.ptr[:name.len].decode().split("."))
        cdef list route = list(dict.fromkeys(endpoint for endpoints in lists for endpoint in endpoints))
        if self.channels_of is not None:
            for endpoint in self.channels_of(name.ptr[:name.len].decode()):
                route.append(<Endpoint?>endpoint)
        if subject is not &self.other:
            self.routes.append(route)
            subject.route = <void*>route
            subject.generation = self.generation
        return route

    cdef Endpoint asker_of(self, Span request, Span own_name):
        """The client that published a message without a name, so that this node gave it its own; None if it is gone.

        Such a message has its connection's epoch, and a number that was given out there.
        """
        cdef Span name
        cdef uint64_t epoch = 0, seq = 0
        cdef Endpoint found
        if not parse_id(request, &name, &epoch, &seq) or not same(name, own_name):
            return None
        found = self.connections.get(epoch)
        return None if found is None or found.is_node or seq > found.seq else found

    cdef void _changed(self) except *:
        """Makes every cached route stale. The lists they point to may go: no route is in use across this call."""
        self.generation += 1
        self.routes = []
        if self.on_change is not None:
            self.on_change()

    cpdef void subscribe(self, str pattern, Endpoint endpoint) except *:
        cdef list endpoints = self.patterns.get(pattern)
        cdef dict node = self.trie
        if endpoints is None:
            endpoints = []
            for token in tokens_of(pattern):
                node = node.setdefault(token, {})
            node[None] = self.patterns[pattern] = endpoints
        if endpoint.subjects is None:
            endpoint.subjects = set()
        if pattern not in endpoint.subjects:
            endpoint.subjects.add(pattern)
            endpoints.append(endpoint)
            self._changed()

    cpdef bint unsubscribe(self, str pattern, Endpoint endpoint) except *:
        """Ends one subscription; False if there was none."""
        cdef list endpoints = self.patterns.get(pattern)
        if endpoints is None or endpoint.subjects is None or pattern not in endpoint.subjects:
            return False
        endpoints.remove(endpoint)
        endpoint.subjects.remove(pattern)
        if not endpoints:
            del self.patterns[pattern]
            self._prune(pattern)
        self._changed()
        return True

    cdef void _prune(self, str pattern) except *:
        """Removes a pattern from the trie, and the branches that nothing else needs."""
        cdef list path = [self.trie]
        cdef list tokens = pattern.split(".")
        for token in tokens:
            path.append(path[len(path) - 1][token])
        del path.pop()[None]
        for token in reversed(tokens):
            node = path.pop()
            if node[token]:
                return
            del node[token]

    cpdef void forget(self, Endpoint endpoint) except *:
        """Ends all subscriptions of an endpoint and frees its name."""
        if endpoint in self.node_links:
            self.node_links = [link for link in self.node_links if link is not endpoint]
        for pattern in endpoint.patterns:
            self.unsubscribe(pattern, endpoint)
        if self.named.get(endpoint.name) is endpoint:
            del self.named[endpoint.name]

    cpdef void name(self, Endpoint endpoint, str name) except *:
        """Gives an endpoint a node name for direct messages; the latest bearer of a name has it.

        A client that calls itself like a linked node does not get what is for that.
        """
        cdef Endpoint bearer = self.named.get(name)
        if self.named.get(endpoint.name) is endpoint:
            del self.named[endpoint.name]
        endpoint.name = name
        if name and (bearer is None or endpoint.is_node or not bearer.is_node):
            self.named[name] = endpoint

    cpdef void join(self, Endpoint endpoint, str name) except *:
        """Makes an endpoint the link to a node of the mesh: it gets all that is broadcast, and tells of many sources."""
        endpoint.is_node = True
        endpoint.nameless = endpoint.echo = False
        self.name(endpoint, name)
        self.subscribe(">", endpoint)
        if endpoint not in self.node_links:
            self.node_links = [*self.node_links, endpoint]      # never changed: one may be walked through

    def is_heard_here(self, str subject not None):
        """Whether a handler or a client of this node is subscribed to a subject."""
        cdef Endpoint endpoint
        for endpoints in matches(self.trie, subject.split(".")):
            for endpoint in endpoints:
                if not endpoint.is_node:
                    return True
        return False

    cpdef void stand_in(self, Endpoint endpoint, str name) except *:
        """Lets an endpoint get what is for a node, while no link to that node does."""
        cdef Endpoint bearer = self.named.get(name)
        if bearer is None or not bearer.is_node:
            self.name(endpoint, name)

    def attach(self, Endpoint endpoint not None):
        """Gives an endpoint what is for names that nobody here bears; nothing that is broadcast."""
        if endpoint not in self.node_links:
            self.node_links = [*self.node_links, endpoint]

    def interest(self, ignored not None):
        """The patterns that somebody here subscribed to, but for the links to some nodes.

        Args:
            ignored: names of those nodes.
        """
        cdef list endpoints
        cdef Endpoint endpoint
        return {
            pattern
            for pattern, endpoints in self.patterns.items()
            if any([not endpoint.outlet and not (endpoint.is_node and endpoint.name in ignored) for endpoint in endpoints])
        }

    def refresh(self):
        """Has every route found anew: what carries a subject may be another now."""
        self._changed()

    def listeners(self, str subject not None):
        """How many endpoints are subscribed to a subject."""
        return len({endpoint for endpoints in matches(self.trie, subject.split(".")) for endpoint in endpoints})

    cdef Tally total(self):
        cdef Tally total
        cdef Py_ssize_t i
        memset(&total, 0, sizeof(Tally))
        add(&total, &self.other.tally)
        add(&total, &self.unknown.tally)
        add(&total, &self.control.tally)
        for i in range(SUBJECT_SLOTS):
            if self.slots[i] != NULL:
                add(&total, &self.slots[i].tally)
        return total

    def subjects(self):
        """Counters by subject; `` is what could not be decoded, `(other)` the subjects beyond MAX_SUBJECTS."""
        cdef dict found = {}
        cdef Py_ssize_t i
        for i in range(SUBJECT_SLOTS):
            if self.slots[i] != NULL and (self.slots[i].tally.taken or self.slots[i].tally.offered):
                found[self.slots[i].name.ptr[:self.slots[i].name.len].decode()] = subject_counts(self.slots[i])
        if self.other.tally.taken:
            found["(other)"] = subject_counts(&self.other)
        if self.unknown.tally.taken:
            found[""] = subject_counts(&self.unknown)
        return found


cdef inline bint is_reserved(Span name) noexcept nogil:
    """Whether a subject begins with lexmesh.events.RESERVED_PREFIX."""
    return name.len >= 9 and memcmp(name.ptr, <const char*>"_lexmesh.", 9) == 0


cdef dict subject_counts(const Subject* subject):
    cdef const Tally* t = &subject.tally
    cdef uint64_t known = t.delivered + t.failed + t.dropped[0] + t.dropped[1] + t.dropped[2]
    return {"ingress": ingress_counts(t), "egress": egress_counts(t, t.offered - known)}
