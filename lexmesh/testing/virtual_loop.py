"""An event loop in virtual time: when nothing is left to do now, it is the time of the next timer at once."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, NoReturn, TypeVar, TypeVarTuple

from lexmesh._clock import set_virtual
from lexmesh.testing.host import EPOCH_NS, HOST, Host

__all__ = ["SimulationError", "VirtualLoop", "run_virtually"]

MOST_TURNS = 100_000
"""Turns of the loop at one instant: more, and something waits for a time that never comes, with `sleep(0)` perhaps."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class SimulationError(RuntimeError):
    """What a simulation cannot do, or what can never happen in it."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order in which they are due; those of one instant as they were scheduled.

    There are no threads, sockets, processes or signals in it. Each callback sees the clock of the machine on whose
    behalf it runs, and those of a paused machine wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._cancelled = 0
        self._turns = 0
        self._holds = True

    # -- time -------------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the loop was made, none of which have passed."""
        return self._now

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Schedules a call; those of the same time run in the order in which they were scheduled."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        timer._scheduled = True  # type: ignore[attr-defined]  # a timer tells of its cancellation then
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Schedules a call so many seconds from now."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, _timer: asyncio.TimerHandle) -> None:
        self._cancelled += 1
        if self._cancelled > 64 and 2 * self._cancelled > len(self._timers):
            self._timers = [entry for entry in self._timers if not entry[2].cancelled()]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def _advance(self) -> None:
        """Goes on to the next time at which something is due."""
        timers, ready = self._timers, self._ready  # type: ignore[attr-defined]
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
            self._cancelled = max(0, self._cancelled - 1)
        if not timers:
            raise SimulationError("nothing is left that could ever happen: what is awaited never comes")
        self._turns = 0
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])

    # -- running ----------------------------------------------------------------------------------------------------

    def run_forever(self) -> None:
        """Runs until stopped; the process has its own time again afterwards."""
        try:
            super().run_forever()
        finally:
            set_virtual(0)

    def _run_once(self) -> None:
        ready = self._ready  # type: ignore[attr-defined]
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            self._advance()
        self._turns += 1
        if self._turns > MOST_TURNS:
            raise SimulationError(f"time stands still: {MOST_TURNS} turns at {self._now} s; await a time, not sleep(0)")
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                self._run(handle)

    def _run(self, handle: asyncio.Handle) -> None:
        host = handle._context.get(HOST)  # type: ignore[attr-defined]
        if host is not None and host.held is not None and self._holds:
            host.held.append(handle)
            return
        self.show_clock_of(host)
        handle._run()

    def show_clock_of(self, host: Host | None) -> None:
        """Has the code that runs next see the clock of a machine; None for the true time."""
        set_virtual(EPOCH_NS + int(self._now * 1e9) if host is None else host.clock_ns(self._now))

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None, **options: Any) -> Any:
        """Creates a task, and notes whose it is."""
        task = super().create_task(coro, name=name, context=context, **options)
        host = (copy_context() if context is None else context).get(HOST)
        if host is not None:
            host.tasks[task] = None
            task.add_done_callback(lambda ended: host.tasks.pop(ended, None))
        return task

    # -- paused machines --------------------------------------------------------------------------------------------

    def pause(self, host: Host) -> None:
        """Has a machine do nothing."""
        if host.held is None:
            host.held = []

    def resume(self, host: Host) -> None:
        """Has a machine do all that it has not done, and go on."""
        held, host.held = host.held or [], None
        self._ready.extend(held)  # type: ignore[attr-defined]

    def hold_nobody(self) -> None:
        """Lets paused machines go on, so that their tasks can end."""
        self._holds = False

    # -- what there is not ------------------------------------------------------------------------------------------

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As `call_soon`: there are no other threads."""
        return self.call_soon(callback, *args, context=context)

    def _process_events(self, _events: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def close(self) -> None:
        """Ends the loop."""
        self._timers.clear()
        super().close()


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refuse(*_args: object, **_options: object) -> NoReturn:
        raise SimulationError(f"{name}: there are no sockets, threads, processes or signals in a simulation")

    return refuse


ABSENT = """
    add_reader add_writer remove_reader remove_writer add_signal_handler remove_signal_handler connect_accepted_socket
    connect_read_pipe connect_write_pipe create_connection create_datagram_endpoint create_server create_unix_connection
    create_unix_server getaddrinfo getnameinfo run_in_executor sendfile sock_accept sock_connect sock_recv
    sock_recv_into sock_recvfrom sock_recvfrom_into sock_sendall sock_sendfile sock_sendto start_tls subprocess_exec
    subprocess_shell
"""

for _name in ABSENT.split():
    setattr(VirtualLoop, _name, _refusing(_name))


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine in virtual time, as asyncio.run does in the machine's.

    Raises:
        SimulationError: if it waits for what never comes, or for what a simulation does not have.
    """
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(main)
        finally:
            loop.hold_nobody()
