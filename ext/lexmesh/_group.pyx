"""Elects who of a queue group gets a message, at every node alike and without a word between them.

Each message reaches each node once. Of the nodes with members the one with the highest score takes it, where a score is
drawn from the message's id and the node's name (rendezvous hashing; Thaler and Ravishankar, IEEE/ACM Transactions on
Networking, 1998), weighted by members (Schindler and Schomaker's logarithmic method, IPTPS 2005): the highest of
ln(u) / members, u drawn evenly from (0, 1), is a node's in proportion to its members. A node that comes or goes moves
only its own share.
"""

from hashlib import blake2b

from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.math cimport log
from libc.stdint cimport uint64_t

from lexmesh._envelope cimport Envelope
from lexmesh._router cimport Endpoint

cdef enum:
    EVEN_BITS = 53      # of a double's mantissa

cdef uint64_t FNV_OFFSET = 14695981039346656037u
cdef uint64_t FNV_PRIME = 1099511628211u


cdef inline uint64_t mixed(uint64_t bits) noexcept nogil:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    bits = (bits ^ (bits >> 30)) * <uint64_t>0xbf58476d1ce4e5b9u
    bits = (bits ^ (bits >> 27)) * <uint64_t>0x94d049bb133111ebu
    return bits ^ (bits >> 31)


cdef inline double even(uint64_t bits) noexcept nogil:
    """Bits as a number between 0 and 1, neither included."""
    return (<double>(bits >> (64 - EVEN_BITS)) + 0.5) / <double>(<uint64_t>1 << EVEN_BITS)


cdef inline uint64_t hash_of(const Envelope* env) noexcept nogil:
    """Of a message's id; the same at every node, unlike the keyed hashes of a process (FNV-1a)."""
    cdef uint64_t hash = FNV_OFFSET
    cdef Py_ssize_t i
    for i in range(env.source_node.len):
        hash = (hash ^ env.source_node.ptr[i]) * FNV_PRIME
    return mixed(mixed(hash ^ env.epoch) + env.seq)


cdef class Group(Endpoint):
    """One group on one subject pattern, as this node has it; in a route it stands for the member that is elected.

    Args:
        pattern: the subjects.
        group: its name.
    """

    def __cinit__(self):
        self.shares = NULL
        self.own = -1

    def __init__(self, str pattern not None, str group not None):
        self.is_group = True
        self.name = f"group {group} on {pattern}"
        self.members = []

    def __dealloc__(self):
        PyMem_RawFree(self.shares)

    def __len__(self):
        return len(self.members)

    def __iter__(self):
        return iter(self.members)

    def __contains__(self, Endpoint member):
        return member in self.members

    def add(self, Endpoint member not None):
        """Adds a member of this node."""
        self.members.append(member)

    def remove(self, Endpoint member not None):
        """Removes a member; False if it is none."""
        if member not in self.members:
            return False
        self.members.remove(member)
        return True

    def arrange(self, str group not None, list nodes not None, str own not None):
        """Says how many members each node has.

        Args:
            group: what the scores are drawn with: the group's name and pattern, or two groups would elect alike.
            nodes: pairs of name and number, in any order; none: there is no other node, and all is for this one.
            own: this node's name.
        """
        cdef Py_ssize_t i
        cdef Share* shares = NULL
        if nodes:
            shares = <Share*>PyMem_RawMalloc(len(nodes) * sizeof(Share))
            if shares == NULL:
                raise MemoryError
        PyMem_RawFree(self.shares)
        self.shares = shares
        self.share_count = len(nodes)
        self.own = -1
        for i, (name, members) in enumerate(nodes):
            digest = blake2b(f"{group}\n{name}".encode(), digest_size=8).digest()
            shares[i].key = <uint64_t>int.from_bytes(digest, "little")
            shares[i].members = max(1.0, float(members))
            if name == own:
                self.own = i

    cdef Endpoint elect(self, const Envelope* env, Endpoint source, list route, uint64_t message):
        """The member of this node that gets a message; None if another node's does, or it has the message anyway.

        Args:
            env: the message.
            source: where it came from.
            route: who else gets it.
            message: counts messages.
        """
        cdef Endpoint member = self._next(False) if self.is_ours(env) else None
        if member is None or (member in route and (member is not source or member.echo)):
            return None
        if not member.local:
            if member.elected == message:   # by another group that it belongs to
                return None
            member.elected = message
        return member

    cdef Endpoint next_handler(self):
        """The next member of this process, for a message that is for this node alone."""
        return self._next(True)

    cdef Endpoint _next(self, bint only_handlers):
        cdef Py_ssize_t count = PyList_GET_SIZE(self.members)
        cdef Py_ssize_t tried
        cdef Endpoint member
        for tried in range(count):
            self.turn = (self.turn + 1) % count
            member = <Endpoint>PyList_GET_ITEM(self.members, self.turn)
            if not member.closed and (member.local or not only_handlers):
                return member
        return None

    cdef bint is_ours(self, const Envelope* env) noexcept nogil:
        cdef uint64_t hash
        cdef double score, best = 0
        cdef Py_ssize_t i, winner = -1
        if self.share_count == 0:
            return True
        if self.own < 0:
            return False
        hash = hash_of(env)
        for i in range(self.share_count):
            score = log(even(mixed(hash ^ self.shares[i].key))) / self.shares[i].members
            if winner < 0 or score > best or (score == best and self.shares[i].key > self.shares[winner].key):
                best = score
                winner = i
        return winner == self.own
