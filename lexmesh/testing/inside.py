"""Lets a test call a simulated node as if it were at the node's own machine."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import Context
from typing import Any

from lexmesh.testing.host import HOST, Host
from lexmesh.testing.virtual_loop import SimulationError, VirtualLoop

__all__ = ["Inside", "Machine"]

PARTS = frozenset({"gateway", "pipeline", "registry", "state", "phase", "bus"})


class Machine:
    """A machine, and the context in which its node's code runs.

    Args:
        host: the machine.
        context: the context.
        loop: the simulation's.
    """

    def __init__(self, host: Host, context: Context, loop: VirtualLoop) -> None:
        self.host = host
        self._context = context
        self._loop = loop

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Calls a function there; what a coroutine function does, it does there too.

        Raises:
            SimulationError: if the node has crashed.
        """
        if self.host.has_crashed:
            raise SimulationError(f"{self.host.name} has crashed; restart it, and use what that returns")
        outer = HOST.get()
        self._loop.show_clock_of(self.host)
        try:
            result = self._context.copy().run(function, *args, **options)
        finally:
            self._loop.show_clock_of(outer)
        return self._loop.create_task(result, context=self._context.copy()) if inspect.iscoroutine(result) else result


class Inside:
    """A node or one of its parts: attributes are the real one's, methods run at its machine.

    Args:
        target: what it stands for.
        machine: where that is.
    """

    def __init__(self, target: Any, machine: Machine) -> None:
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_machine", machine)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What it stands for is what it is."""
        return type(self._target)

    def __getattr__(self, name: str) -> Any:
        machine = self._machine
        value = (
            machine.call(getattr, self._target, name) if not machine.host.has_crashed else getattr(self._target, name)
        )
        if name in PARTS:
            return Inside(value, machine)
        if not callable(value) or isinstance(value, type):
            return value

        def call(*args: Any, **options: Any) -> Any:
            return machine.call(value, *args, **options)

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)

    def __repr__(self) -> str:
        return f"<{self._target.__class__.__name__} {self._machine.host.name!r} in a simulation>"
