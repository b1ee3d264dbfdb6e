"""Filters and transformers as one callable that the compiled core calls between policing and routing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from lexmesh._codec import StreamEvent

Filter = Callable[[StreamEvent], Any]
Transformer = Callable[[StreamEvent], Any]


class FailureReport(Protocol):
    """What is told of an exception."""

    def report_error(self, where: str, error: Exception, event: StreamEvent) -> None: ...


class Middleware:
    """Runs all filters, then all transformers, on one event.

    Args:
        failures: told of exceptions; the message that caused one is filtered.
    """

    def __init__(self, failures: FailureReport) -> None:
        self._failures = failures
        self._filters: list[Filter] = []
        self._transformers: list[Transformer] = []
        self._steps: tuple[Callable[[StreamEvent], Any], ...] = ()

    def add_filter(self, check: Filter) -> None:
        """Adds a filter behind the others."""
        self._filters.append(_callable(check, "filter"))
        self._steps = (*self._filters, *self._transformers)

    def add_transformer(self, transform: Transformer) -> None:
        """Adds a transformer behind the others."""
        self._transformers.append(_callable(transform, "transformer"))
        self._steps = (*self._filters, *self._transformers)

    def __call__(self, event: StreamEvent) -> StreamEvent | Awaitable[StreamEvent | None] | None:
        """Runs the steps as far as they are sync.

        Returns:
            The event to route, None if it is filtered, or an awaitable of either from the first async step on.
        """
        passed: StreamEvent | None = event
        for index, step in enumerate(self._steps):
            assert passed is not None
            try:
                result = step(passed)
                if hasattr(result, "__await__"):
                    return self._go_on(result, index, passed)
                passed = self._settled(index, result, passed)
            except Exception as error:
                self._failed(step, error, event)
                return None
            if passed is None:
                return None
        return passed

    async def _go_on(self, result: Awaitable[Any], index: int, event: StreamEvent) -> StreamEvent | None:
        """Awaits the step at `index`, then runs the rest."""
        passed: StreamEvent | None = event
        while True:
            try:
                settled = await result
                passed = self._settled(index, settled, passed)
                while passed is not None and (index := index + 1) < len(self._steps):
                    settled = self._steps[index](passed)
                    if hasattr(settled, "__await__"):
                        result = settled
                        break
                    passed = self._settled(index, settled, passed)
                else:
                    return passed
            except Exception as error:
                self._failed(self._steps[index], error, event)
                return None

    def _settled(self, index: int, result: Any, event: StreamEvent | None) -> StreamEvent | None:
        """What goes on after a step: the same event after a filter, the new one after a transformer."""
        if index < len(self._filters):
            return event if result else None
        if result is not None and not isinstance(result, StreamEvent):
            raise TypeError(f"a transformer returns a StreamEvent or None, not {type(result).__name__}")
        return result

    def unusable(self, error: Exception, event: StreamEvent) -> None:
        """The core's word that what the last step returned cannot be encoded."""
        self._failed(self._steps[-1], error, event)

    def _failed(self, step: object, error: Exception, event: StreamEvent) -> None:
        self._failures.report_error(getattr(step, "__qualname__", type(step).__name__), error, event)


def _callable(step: Filter, role: str) -> Filter:
    if not callable(step):
        raise TypeError(f"a {role} must be callable, {type(step).__name__} is not")
    return step
