"""Streaming pipeline: filters, transformers and handlers around the compiled core.

Sans-io: nothing here reads a clock or a socket. What runs coroutines is given by whoever owns the pipeline.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from lexmesh._codec import StreamEvent
from lexmesh._handlers import HandlerEndpoint, cause_depth
from lexmesh._pipeline import Core
from lexmesh._reading import StreamData
from lexmesh._router import Endpoint
from lexmesh.errors import DeniedError
from lexmesh.failures import FailureLog
from lexmesh.middleware import Filter, Middleware, Transformer
from lexmesh.nsr import NsrPolicy
from lexmesh.nsr.audit import DEFAULT_RING, Audit
from lexmesh.nsr.denials import DENIED_SUBJECT, Denials

__all__ = ["Filter", "Handler", "Outcome", "StreamPipeline", "Transformer"]

Handler = Callable[[StreamEvent], Any]
Spawn = Callable[[Coroutine[Any, Any, Any]], bool]

logger = logging.getLogger("lexmesh.pipeline")


class _Collector(list[Awaitable[Any]]):
    """The awaitables that one process_event call will await; tasks that outlive it find it closed."""

    open = True


_collector: ContextVar[_Collector | None] = ContextVar("lexmesh_collector", default=None)


def check_handler(handler: object) -> None:
    """Raises TypeError for what cannot be a handler."""
    if not callable(handler):
        raise TypeError(f"a handler must be callable, {type(handler).__name__} is not")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise TypeError("a handler must not be a generator: nothing would run it")


def check_policy(policy: object) -> None:
    """Raises TypeError for what is no policy, such as the path of one."""
    if not isinstance(policy, NsrPolicy):
        kind = type(policy).__name__
        raise TypeError(f"a policy must be an NsrPolicy, {kind} is not; NsrPolicy.load(path) reads one")


def link_of(source: Endpoint) -> str:
    """The peer of a connection as host:port, or what else an endpoint is called."""
    owner = getattr(source, "owner", None)
    return getattr(owner, "remote_address", "") or source.name or ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message.

    Args:
        status: routed, denied, filtered, expired, duplicate, looped, malformed or unroutable.
        rule: name of the policy rule that denied it, else empty.
        path: the field that broke the rule, else empty.
    """

    status: str
    rule: str = ""
    path: str = ""

    @property
    def routed(self) -> bool:
        """Whether it went to at least one recipient."""
        return self.status == "routed"

    def __bool__(self) -> bool:
        return self.routed


class StreamPipeline:
    """Decodes, polices, filters, transforms and routes the messages of one node, and counts what becomes of each.

    Args:
        node_id: name of the node; when empty, handlers run whatever target a message names.
        policy: the consent policy; the default policy when None.
        epoch: the node's start, milliseconds since 1970-01-01 UTC; stamps the messages it publishes.
        max_recursion_depth: messages with more causation and forwarding hops are refused as looped.
        max_message_size: bytes; larger messages are refused as malformed.
        now: reads the time in milliseconds for audit records and the interval between failure reports; None: records
            have the time that came with the message, and each failure is reported.
        audit_ring: audit records to keep.

    Attributes:
        audit: what the policy refused or flagged; see `nsr.audit`.
        reloads: policies that were put in force since the start, and that could not be, as `ok` and `failed`.
        on_answer_denied: callable(source, request, error), told of a handler's answer that the policy refused.
        gateway: what speaks to the node's peers in reserved messages, shared by its transports; None before the first.
    """

    def __init__(
        self,
        node_id: str = "",
        *,
        policy: NsrPolicy | None = None,
        epoch: int = 0,
        max_recursion_depth: int = 42,
        max_message_size: int = 1 << 20,
        now: Callable[[], int] | None = None,
        audit_ring: int = DEFAULT_RING,
    ) -> None:
        self.node_id = node_id
        self.policy = NsrPolicy.default() if policy is None else policy
        check_policy(self.policy)
        self.core = Core(self.policy.scanner, node_id, epoch, max_recursion_depth, max_message_size)
        self.core.auditor = self._on_verdict
        self.audit = Audit(audit_ring)
        self.reloads = {"ok": 0, "failed": 0}
        self._now = now
        self._last_epoch = epoch
        self._denials = Denials(self.core, self.audit, max_recursion_depth, self._run_later)
        self._failures = FailureLog(self.core, now)
        self._middleware = Middleware(self._failures)
        self._handlers: list[HandlerEndpoint] = []
        self.gateway: Any = None
        self.on_answer_denied: Callable[[Endpoint, StreamEvent, DeniedError], None] | None = None
        self._spawn: Spawn | None = None
        self._defer: Callable[[Awaitable[Any], Endpoint], None] | None = None

    async def start(self) -> None:
        """Nothing to start here; for symmetry with what has connections and tasks."""

    async def stop(self) -> None:
        """Nothing to stop here; for symmetry with what has connections and tasks."""

    async def __aenter__(self) -> StreamPipeline:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def add_filter(self, check: Filter) -> None:
        """Adds a filter; all must pass, in the order added. `system_error` events pass it by.

        Args:
            check: callable(event), sync or async; a false result filters the message.
        """
        self._middleware.add_filter(check)
        self.core.set_middleware(self._middleware, self._on_deferred)

    def add_transformer(self, transform: Transformer) -> None:
        """Adds a transformer, run after the filters; what it returns is policed again.

        Args:
            transform: callable(event) -> event, sync or async; None filters the message.
        """
        self._middleware.add_transformer(transform)
        self.core.set_middleware(self._middleware, self._on_deferred)

    def register_handler(self, subject: str, handler: Handler) -> None:
        """Calls a handler with every event on a subject.

        Args:
            subject: an event or data type; `*` stands for one token, `>` at the end for the rest. `_lexmesh.denied`
                is what this node refuses; its data is an AuditRecord as a dict.
            handler: callable(event), sync or async. A dict it returns is sent back to where the event came from; one
                that the policy refuses is not: it is counted as denied and published as `system_error`.

        Raises:
            SubjectError: if the subject is not a pattern.
        """
        check_handler(handler)
        self.subscribe(subject, handler, None)

    def subscribe(
        self, subject: str, handler: object, call: Callable[[StreamEvent, Endpoint], Any] | None
    ) -> HandlerEndpoint:
        """Subscribes with a call that also gets the endpoint the event came from; `handler` identifies it.

        Without a call, `handler` itself is called with the event.
        """
        endpoint = self.endpoint(handler, call, self._on_awaitable)
        if str(subject) == DENIED_SUBJECT:
            self._denials.subscribe(endpoint)
        else:
            self.core.router.subscribe(str(subject), endpoint)
        return endpoint

    def endpoint(
        self,
        handler: object,
        call: Callable[[StreamEvent, Endpoint], Any] | None,
        on_awaitable: Callable[[Coroutine[Any, Any, Any]], bool],
    ) -> HandlerEndpoint:
        """What calls a handler that is subscribed to nothing yet; `on_awaitable` runs its coroutines."""
        endpoint = HandlerEndpoint(self.core, handler, call, on_awaitable, self._on_result, self._failures.report)
        self._handlers.append(endpoint)
        return endpoint

    async def filtered(self, event: StreamEvent) -> StreamEvent | None:
        """What filters and transformers make of an event that is not routed; None if it does not pass."""
        result = self._middleware(event)
        return await result if isinstance(result, Awaitable) else result

    def unregister_handler(self, subject: str, handler: object) -> bool:
        """Ends a registration.

        Args:
            subject: the same pattern.
            handler: the same handler.

        Returns:
            Whether there was one.
        """
        if str(subject) == DENIED_SUBJECT:
            return self._denials.unsubscribe(handler)
        return any(
            self.core.router.unsubscribe(str(subject), endpoint)
            for endpoint in self._handlers
            if endpoint.handler == handler
        )

    async def process_event(self, event: StreamEvent, now: int | None = None) -> Outcome:
        """Takes in an event and waits until its handlers have run.

        Args:
            event: the event.
            now: milliseconds since 1970-01-01 UTC, for expiry; the event's own timestamp when None.

        Returns:
            What became of it.

        Raises:
            MalformedError: if its fields do not make a message.
        """
        if not isinstance(event, StreamEvent):
            raise TypeError(f"process_event takes a StreamEvent, not {type(event).__name__}")
        collector = _Collector()
        token = _collector.set(collector)
        try:
            status = self.core.process(event, event.timestamp if now is None else now, cause_depth.get())
            refusal = self.core.last_refusal
            for awaitable in collector:  # which grows while handlers publish
                result = await awaitable
                if status is None:
                    status, refusal = result, self.core.last_refusal
        finally:
            collector.open = False
            _collector.reset(token)
        if status == "denied" and refusal:
            return Outcome(status, *refusal)
        return Outcome(status or "filtered")

    def use_policy(self, policy: NsrPolicy) -> None:
        """Puts another policy in force from the next message on; what async filters still hold passes it too.

        Args:
            policy: the policy.
        """
        check_policy(policy)
        self.core.set_scanner(policy.scanner)
        self.policy = policy
        self.reloads["ok"] += 1

    async def process_data(self, data: StreamData, now: int | None = None) -> Outcome:
        """Takes in a reading; the same as process_event, since a reading is an event."""
        return await self.process_event(data, now)

    def next_epoch(self, now: int) -> int:
        """A connection's epoch: its time, moved on where two would share one.

        Args:
            now: milliseconds since 1970-01-01 UTC.
        """
        self._last_epoch = max(self._last_epoch + 1, now)
        return self._last_epoch

    def run_coroutines_with(self, spawn: Spawn, defer: Callable[[Awaitable[Any], Endpoint], None]) -> None:
        """Lets an owner with an event loop run async handlers and async filters.

        Args:
            spawn: callable(coroutine) -> bool for a handler's coroutine; false if there is no room for it.
            defer: callable(awaitable, source) for async filters; must keep the order within a source.
        """
        self._spawn, self._defer = spawn, defer

    def ledger(self, links: list[Endpoint] | None = None) -> dict[str, Any]:
        """What came in and went out, by outcome.

        Args:
            links: further endpoints that may hold messages.

        Returns:
            Counters as plain numbers, and under "balanced" whether they agree; `audit` and `policy` with the digest in
            force.
        """
        replies = [self.core.reply_endpoint] if self.core.reply_endpoint is not None else []
        endpoints: list[Endpoint] = [*self._handlers, *replies, *(links or [])]
        return {
            **self.core.ledger(endpoints),
            "audit": self.audit.counts(),
            "policy": {"digest": self.policy.digest, "reloads": dict(self.reloads)},
        }

    def _on_verdict(
        self,
        told: int,
        source: Endpoint,
        id: str,
        node: str,
        subject: str,
        rule: str,
        path: str,
        denied: bool,
        depth: int,
    ) -> None:
        """Records what the policy refused or flagged; called while the message is still in the decoder's hands."""
        is_own = source is self.core.origin
        record = self.audit.record(
            told if self._now is None else self._now(),
            id=id,
            source=node,
            link="" if is_own else link_of(source),
            subject=subject,
            rule=rule,
            path=path,
            denied=denied,
            policy=self.core.scanner.digest,
        )
        if denied:
            self._denials.add(record, depth, is_own=is_own)

    def _run_later(self, coroutine: Coroutine[Any, Any, Any]) -> bool:
        """Runs a coroutine of the pipeline's own, unless there is nothing to run it."""
        collector = _collector.get()
        if self._spawn is None and (collector is None or not collector.open):
            return False
        return self._on_awaitable(coroutine)

    def _on_awaitable(self, coroutine: Coroutine[Any, Any, Any]) -> bool:
        collector = _collector.get()
        if collector is not None and collector.open:
            collector.append(coroutine)
            return True
        if self._spawn is not None:
            return self._spawn(coroutine)
        logger.warning("async handler not run: this pipeline has no event loop")
        return False

    def _on_deferred(self, awaitable: Coroutine[Any, Any, Any], source: Endpoint) -> None:
        collector = _collector.get()
        if collector is not None and collector.open:
            collector.append(awaitable)
        elif self._defer is not None:
            self._defer(awaitable, source)
        else:
            raise RuntimeError("async filters need process_event or an owner with an event loop")

    def _on_result(self, result: Any, event: StreamEvent, source: Endpoint) -> None:
        """Sends a handler's dict back; anything else that handlers return is theirs.

        This node's own event is answered only where it is a request that waits.
        """
        if isinstance(result, dict) and (source is not self.core.origin or event.id in self.core.awaited):
            try:
                status = self.core.reply(source, event, result, event.timestamp)
            except Exception as error:  # a dict of the user's own kind may raise anything
                self._failures.report_error("reply", error, event)
                return
            if status == "denied" and (refusal := self.core.last_refusal):
                self._deny_answer(source, event, DeniedError(*refusal))

    def _deny_answer(self, source: Endpoint, event: StreamEvent, error: DeniedError) -> None:
        self._failures.report_error("reply", error, event)
        if self.on_answer_denied is not None:
            self.on_answer_denied(source, event, error)
