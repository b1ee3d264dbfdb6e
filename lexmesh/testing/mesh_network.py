"""Many nodes in one process, on a network and with clocks that go wrong as a seed has it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextvars import copy_context
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from lexmesh.config import MeshConfig
from lexmesh.mesh.core import MeshCore
from lexmesh.nsr import NsrPolicy
from lexmesh.testing.convergence import disagreement
from lexmesh.testing.faulty_network import FaultyNetwork
from lexmesh.testing.host import HOST, Host
from lexmesh.testing.inside import Inside, Machine
from lexmesh.testing.trace import Trace
from lexmesh.testing.virtual_loop import SimulationError, VirtualLoop, run_virtually
from lexmesh.transports.chance import CHANCE
from lexmesh.transports.memory_network import NETWORK, SCHEME

__all__ = ["MeshNetwork"]

LOOK_SECONDS = 0.01
"""How often it is looked whether what is waited for is so; virtual seconds."""

Setup = Callable[[MeshCore], None]
T = TypeVar("T")


class MeshNetwork:
    """A simulated network of nodes, on a VirtualLoop.

    The nodes are MeshCore as it is, linked in memory; nothing takes real time but their own work. The same seed and the
    same test make the same run, byte for byte.

    Args:
        seed: of all chance: the network's and the nodes'.
        **options: settings of all nodes, as for MeshConfig.

    Attributes:
        seed: the seed.
        trace: what happened.
        random: chance for the test's own use, of the same seed.
    """

    def __init__(self, seed: int = 0, **options: Any) -> None:
        self.seed = seed
        self.trace = Trace()
        self.random = random.Random(f"{seed} test")  # noqa: S311 - to be foretold
        self._options = options
        self._nodes: dict[str, tuple[MeshCore, Machine]] = {}
        self._recipes: dict[str, tuple[MeshConfig, Setup | None, dict[str, Any]]] = {}
        self._hosts: list[Host] = []
        self._resuming: dict[str, asyncio.TimerHandle] = {}
        self._network: FaultyNetwork | None = None
        self._policy: NsrPolicy | None = None

    # -- life -------------------------------------------------------------------------------------------------------

    def play(self, test: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in virtual time, with this network; for functions that are no coroutines themselves.

        Raises:
            SimulationError: if it waits for what never comes, or for what a simulation does not have.
        """

        async def whole() -> T:
            async with self:
                return await test

        return run_virtually(whole())

    async def __aenter__(self) -> Self:
        self._loop  # noqa: B018 - raises where there is none
        self._network = FaultyNetwork(random.Random(f"{self.seed} network"), self.trace)  # noqa: S311 - likewise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.trace.end()
        self.heal()
        for _, machine in self._nodes.values():
            self._resume(machine.host)
        stops = [machine.call(mesh.stop) for mesh, machine in self._nodes.values()]
        await asyncio.gather(*stops)
        self._net.is_over = True
        for host in self._hosts:
            self._loop.resume(host)
        left = [task for host in self._hosts for task in host.tasks]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self._nodes.clear()

    @property
    def _loop(self) -> VirtualLoop:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise SimulationError("a MeshNetwork needs virtual time: network.play(test()), or the fixture mesh_network")
        return loop

    @property
    def _net(self) -> FaultyNetwork:
        if self._network is None:
            raise SimulationError("a MeshNetwork has no nodes before `async with`")
        return self._network

    # -- nodes ------------------------------------------------------------------------------------------------------

    async def node(
        self,
        name: str,
        peers: Iterable[str] = (),
        *,
        setup: Setup | None = None,
        parts: dict[str, Any] | None = None,
        **options: Any,
    ) -> MeshCore:
        """Starts a node.

        Args:
            name: its name.
            peers: names of nodes that it is to link to; they may come later.
            setup: callable(mesh), called before each start of the node: subscribes handlers, for one.
            parts: further arguments of MeshCore, such as strategies and policy.
            **options: its settings, as for MeshConfig; they go before the network's.

        Returns:
            The node. Its methods run on its own machine, with its clock.

        Raises:
            SimulationError: if a node of this name runs already.
        """
        settings = {
            "enable_websocket": False,
            "enable_redis": False,
            "memory_name": name,
            "peers": [SCHEME + peer for peer in peers],
            **self._options,
            **options,
        }
        self._recipes[name] = MeshConfig(node_id=name, **settings), setup, parts or {}
        return await self.restart(name)

    async def restart(self, name: str) -> MeshCore:
        """Starts a node that has crashed or stopped, as it was first started; returns it, with none of its memory."""
        if name in self._nodes:
            raise SimulationError(f"{name} runs already")
        self._net.switch_on(name)
        lives = [host for host in self._hosts if host.name == name]
        host = Host(name, lives[-1] if lives else None)
        self._hosts.append(host)
        context = copy_context()
        context.run(HOST.set, host)
        context.run(CHANCE.set, random.Random(f"{self.seed} {name} {len(lives)}"))  # noqa: S311 - to be foretold
        context.run(NETWORK.set, self._net)
        machine = Machine(host, context, self._loop)
        config, setup, parts = self._recipes[name]
        if config.policy_file is None:
            parts = {"policy": self._default_policy(), **parts}
        mesh: MeshCore = machine.call(MeshCore, config, **parts)
        self._nodes[name] = mesh, machine
        seen = self[name]
        if setup is not None:
            setup(seen)
        self._note("start", name)
        await machine.call(mesh.start)
        return seen

    def _default_policy(self) -> NsrPolicy:
        """One for all nodes that have none of their own: compiling it takes longer than all else that starts a node."""
        if self._policy is None:
            self._policy = NsrPolicy.default()
        return self._policy

    def __getitem__(self, name: str) -> MeshCore:
        """A node that runs."""
        return cast(MeshCore, Inside(*self._nodes[name]))

    @property
    def names(self) -> list[str]:
        """The nodes that run."""
        return list(self._nodes)

    async def stop(self, name: str) -> None:
        """Stops a node, with a goodbye; one that is paused does so when its pause ends."""
        mesh, machine = self._nodes.pop(name)
        self._note("stop", name)
        await machine.call(mesh.stop)

    # -- faults -----------------------------------------------------------------------------------------------------

    def crash(self, name: str, *, silent: bool = False) -> None:
        """Ends a node in the midst of what it does, with all that it has in memory.

        Args:
            name: the node.
            silent: whether its machine is gone with it, so that nothing tells the others; else it resets connections.
        """
        _, machine = self._nodes.pop(name)
        self._note("crash", name)
        machine.host.has_crashed = True
        self._loop.pause(machine.host)
        self._forget_pause(name)
        self._net.crash(name, silent=silent)

    def pause(self, name: str, seconds: float) -> None:
        """Has a node do nothing for a while, as SIGSTOP does; what it is sent waits for it."""
        _, machine = self._nodes[name]
        self._note("pause", name)
        self._loop.pause(machine.host)
        self._forget_pause(name)
        self._resuming[name] = self._loop.call_later(seconds, self._resume, machine.host)

    def resume(self, name: str) -> None:
        """Ends a pause."""
        self._resume(self._nodes[name][1].host)

    def _resume(self, host: Host) -> None:
        self._forget_pause(host.name)
        self._note("resume", host.name)
        self._loop.resume(host)

    def _forget_pause(self, name: str) -> None:
        timer = self._resuming.pop(name, None)
        if timer is not None:
            timer.cancel()

    def skew(self, name: str, seconds: float, *, drift: float = 0.0) -> None:
        """Sets a node's clock wrong; intervals stay as they are.

        Args:
            name: the node.
            seconds: how far it is ahead, from now on.
            drift: what it gains further, seconds a second.
        """
        self._note("skew", name)
        self._nodes[name][1].host.set_clock(seconds, drift, self.time)

    def partition(self, some: Collection[str], others: Collection[str], *, one_way: bool = False) -> None:
        """Lets nothing through between nodes.

        Args:
            some, others: the nodes.
            one_way: whether what the others send to some still arrives.
        """
        self._note("partition", ",".join(sorted(some)), ",".join(sorted(others)))
        self._net.part(some, others)
        if not one_way:
            self._net.part(others, some)

    def heal(self) -> None:
        """Ends all partitions; delays, losses and pauses stay."""
        self._note("heal")
        self._net.heal()

    def reset(self, some: Collection[str], others: Collection[str]) -> None:
        """Breaks the connections that there are between nodes; they may make new ones at once."""
        self._note("reset", ",".join(sorted(some)), ",".join(sorted(others)))
        some, others = set(some), set(others)
        self._net.reset(
            lambda pipe: (
                (pipe.source in some and pipe.target in others) or (pipe.source in others and pipe.target in some)
            )
        )

    def shape(self, source: str | None = None, target: str | None = None, **fields: float) -> None:
        """Changes how what one node sends another gets there.

        Args:
            source, target: the nodes; None for all.
            **fields: delay and jitter (seconds), loss and duplication (shares, 0 to 1): see Path.
        """
        self._note("shape", source or "*", target or "*")
        self._net.shape(source, target, **fields)

    # -- time -------------------------------------------------------------------------------------------------------

    @property
    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._loop.time()

    async def run(self, seconds: float) -> None:
        """Lets so much virtual time pass."""
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], object], what: str = "", *, timeout: float = 60.0) -> float:
        """Lets time pass until something is so.

        Args:
            condition: callable() -> whether it is.
            what: what it is, for the error.
            timeout: virtual seconds.

        Returns:
            The virtual seconds that it took.

        Raises:
            TimeoutError: if it does not come to that.
        """
        begun = self.time
        while not condition():
            if self.time - begun > timeout:
                raise TimeoutError(f"not within {timeout} s: {what or condition}")
            await asyncio.sleep(LOOK_SECONDS)
        return self.time - begun

    async def converged(self, *, timeout: float = 60.0) -> float:
        """Lets time pass until the nodes that run agree: on who is there, and on their state.

        Returns:
            The virtual seconds that it took.

        Raises:
            TimeoutError: if they do not; says on what.
        """
        begun = self.time
        while fault := self.disagreement():
            if self.time - begun > timeout:
                raise TimeoutError(f"the mesh has not converged within {timeout} s: {fault}")
            await asyncio.sleep(LOOK_SECONDS)
        return self.time - begun

    def disagreement(self) -> str:
        """What the nodes that run do not agree on, as one line; empty if they do."""
        return disagreement({name: mesh for name, (mesh, _) in self._nodes.items()})

    def trace_digest(self) -> str:
        """Stands for all that has happened: equal digests, equal runs."""
        return self.trace.digest()

    def _note(self, kind: str, source: str = "", target: str = "") -> None:
        self.trace.note(self.time, kind, source, target)
