"""What befalls a simulated mesh, drawn from its seed, and whether it comes out of it as it should."""

from collections import defaultdict
from collections.abc import Callable

from lexmesh import MeshCore
from lexmesh.testing import MeshNetwork

HEARTBEAT = 1.0
AFTERMATH = 10.0
"""Seconds in which links may still break for what was before: four questions are 1.5 s apart, and one may be lost."""

Heard = dict[tuple[str, int], list[str]]


class Story:
    """Nodes of a random topology: a quiet time, a time of faults, and a quiet time again.

    Args:
        net: the network.
    """

    def __init__(self, net: MeshNetwork) -> None:
        self.net = net
        self.chance = net.random
        self.heard: Heard = defaultdict(list)  # ids, by node and start of it
        self.lives: dict[str, int] = defaultdict(int)
        self.names = [f"n{number}" for number in range(self.chance.randint(3, 8))]
        self.down: list[str] = []
        self.told: list[str] = []  # what happened, for a failure

    # -- the nodes --------------------------------------------------------------------------------------------------

    def listen(self, name: str) -> Callable[[MeshCore], None]:
        """Has each life of a node note what it hears."""

        def setup(mesh: MeshCore) -> None:
            self.lives[name] += 1
            heard = self.heard[name, self.lives[name]]
            mesh.subscribe(">", lambda event: heard.append(event.id))

        return setup

    async def begin(self) -> None:
        """Starts the nodes, each linked to one or two before it."""
        chance = self.chance
        learned = chance.choice([0, 0, 2, 8])
        self.net.shape(
            delay=chance.uniform(0.0001, 0.03),
            jitter=chance.choice([0.0, chance.uniform(0, 0.1)]),
            loss=chance.choice([0.0, chance.uniform(0, 0.1)]),
            duplication=chance.choice([0.0, chance.uniform(0, 0.2)]),
        )
        for number, name in enumerate(self.names):
            peers = chance.sample(self.names[:number], min(number, chance.randint(1, 2)))
            if number and chance.random() < 0.2:  # both dial each other
                peers = [*peers, self.names[(number + 1) % len(self.names)]]
            await self.net.node(name, peers, setup=self.listen(name), learned_links=learned)
            if chance.random() < 0.5:
                self.net.skew(name, chance.uniform(-30, 30), drift=chance.uniform(-1e-3, 1e-3))
            if chance.random() < 0.3:
                await self.net.run(chance.uniform(0, 2))

    # -- a quiet time -----------------------------------------------------------------------------------------------

    async def all_arrives(self) -> None:
        """While nothing breaks, each broadcast arrives once at every node."""
        sent = []
        for _ in range(3):
            for name in self.chance.sample(self.names, len(self.names)):
                sent.append(await self.net[name].broadcast_event("told", {"by": name}))
                await self.net.run(self.chance.uniform(0, 0.05))
        await self.net.run(5)  # a segment may be lost several times
        for name in self.names:
            ids = self.heard[name, self.lives[name]]
            assert [ids.count(id) for id in sent] == [1] * len(sent), f"at {name}"

    # -- a time of faults -------------------------------------------------------------------------------------------

    async def suffer(self) -> None:
        """Faults, one after the other, while nodes go on talking and writing."""
        end = self.net.time + self.chance.uniform(10, 25)
        faults = [self.part, self.part, self.crash, self.come_back, self.pause, self.skew, self.reset, self.worsen]
        while self.net.time < end:
            fault = self.chance.choice(faults)
            self.told.append(f"{self.net.time:.3f} {fault.__name__}")
            await fault()
            for _ in range(self.chance.randint(1, 8)):
                await self.talk()
                await self.net.run(self.chance.uniform(0, 0.5))

    def some(self) -> list[str]:
        """Any number of the nodes, but not all."""
        return self.chance.sample(self.names, self.chance.randint(1, len(self.names) - 1))

    async def part(self) -> None:
        if self.chance.random() < 0.3:
            self.net.heal()
        some = self.some()
        others = [name for name in self.names if name not in some]
        self.net.partition(some, others, one_way=self.chance.random() < 0.3)

    async def crash(self) -> None:
        if len(self.net.names) > 2:
            name = self.chance.choice(self.net.names)
            if self.chance.random() < 0.25:
                await self.net.stop(name)
            else:
                self.net.crash(name, silent=self.chance.random() < 0.5)
            self.down.append(name)

    async def come_back(self) -> None:
        if self.down:
            await self.net.restart(self.down.pop(0))

    async def pause(self) -> None:
        self.net.pause(self.chance.choice(self.net.names), self.chance.uniform(0.5, 10))

    async def skew(self) -> None:
        self.net.skew(self.chance.choice(self.net.names), self.chance.uniform(-30, 30))

    async def reset(self) -> None:
        some = self.some()
        self.net.reset(some, [name for name in self.names if name not in some])

    async def worsen(self) -> None:
        source, target = self.chance.sample(self.names, 2)
        loss, jitter = self.chance.uniform(0, 0.4), self.chance.uniform(0, 0.5)
        self.net.shape(source, target, loss=loss, jitter=jitter)

    async def talk(self) -> None:
        """A node says or writes something."""
        mesh = self.net[self.chance.choice(self.net.names)]
        key = f"k{self.chance.randint(0, 4)}"
        match self.chance.randint(0, 3):
            case 0:
                mesh.state.update_local_state("c", key, self.chance.randint(0, 9))
            case 1:
                mesh.state.delete_local_state("c", key)
            case _:
                mesh.publish("told", {"by": mesh.node_id})

    # -- the end ----------------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Ends all faults, and has the nodes agree again."""
        net = self.net
        net.heal()
        for name in self.down:
            await net.restart(name)
        self.down = []
        for source in self.names:
            for target in self.names:
                if source != target:
                    net.shape(source, target, loss=0.02, jitter=0.05)
        for name in self.names:
            net.resume(name)
        await net.run(AFTERMATH)
        await net.converged(timeout=60)

    async def all_stays(self) -> None:
        """Nobody who runs is lost sight of again."""
        for _ in range(int(5 * HEARTBEAT / 0.5)):
            await self.net.run(0.5)
            assert not self.net.disagreement()

    def check(self) -> None:
        """Nothing came twice, what never came is counted, and what was taken in is accounted for."""
        for (name, life), ids in self.heard.items():
            assert len(set(ids)) == len(ids), f"{name} heard something twice in its life {life}"
        for name in self.names:
            mesh = self.net[name]
            ledger = mesh.ledger()
            assert ledger["balanced"], (name, ledger)
            assert ledger["undecided"] == ledger["egress"]["in_flight"] == 0, (name, ledger)
            ids = self.heard[name, self.lives[name]]
            assert mesh.pipeline.core.missing == gaps(ids), name

    async def told_to_the_end(self) -> None:
        """All of it."""
        await self.begin()
        await self.net.converged(timeout=60)
        await self.all_arrives()
        await self.suffer()
        await self.recover()
        await self.all_stays()
        await self.all_arrives()
        self.check()


def gaps(ids: list[str]) -> int:
    """How many numbers are missing between the first and the last of each source's life."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for id in ids:
        source, _, seq = id.rpartition(":")
        numbers[source].append(int(seq))
    return sum(max(found) - min(found) + 1 - len(found) for found in numbers.values())


def play(seed: int) -> str:
    """Tells the story of a seed; returns the digest of all that happened."""
    net = MeshNetwork(seed, heartbeat_interval=HEARTBEAT, sync_interval=3.0, drain_seconds=2.0)
    story = Story(net)
    try:
        net.play(story.told_to_the_end())
    except BaseException as error:
        error.add_note("\n".join([f"seed {seed}: {len(story.names)} nodes", *story.told]))
        raise
    return net.trace_digest()
