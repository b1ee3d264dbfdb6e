"""The policy's word on what is about to be written: what other nodes would refuse on its way is not written here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from lexmesh.errors import DeniedError
from lexmesh.mesh.state.anti_entropy import DELTA
from lexmesh.mesh.state.register import EMPTY, written
from lexmesh.mesh.state.stamp import Stamp
from lexmesh.mesh.state.wire import entry_of
from lexmesh.pipeline import StreamPipeline
from lexmesh.transports.wall_clock import now_ms

__all__ = ["police_of"]

PLACE = "data.entries[0].writes[0]."
"""Where a value stands in the message that tells of it."""


def police_of(pipeline: StreamPipeline) -> Callable[[str, str, Any], None]:
    """Makes what checks a write of this node's, against the policy then in force.

    Args:
        pipeline: the node's; its audit gets what is refused.

    Returns:
        callable(category, key, value), which raises DeniedError for what the policy refuses and ValueError for what
        strict JSON cannot say. What JSON cannot say at all is for the replica to refuse.
    """

    def check(category: str, key: str, value: Any) -> None:
        try:
            line = _message(pipeline.node_id, category, key, value)
        except TypeError:
            return
        verdict = pipeline.policy.check_json(line)
        if verdict.rule == "malformed":
            raise ValueError(f"the value of {category}/{key} is not what a message can say: {verdict.reason}")
        if not verdict.allowed:
            _record(pipeline, verdict.rule, path := verdict.path.removeprefix(PLACE))
            raise DeniedError(verdict.rule, path)

    return check


def _message(node: str, category: str, key: str, value: Any) -> bytes:
    """A write as the others will get it; stamps are numbers and say nothing to a policy."""
    register = written(EMPTY, Stamp(0, 0), node, orjson.dumps(value))
    return orjson.dumps({"type": DELTA, "data": {"entries": [entry_of(category, key, register)]}})


def _record(pipeline: StreamPipeline, rule: str, path: str) -> None:
    pipeline.audit.record(
        now_ms(),
        id="",
        source=pipeline.node_id,
        link="",
        subject=DELTA,
        rule=rule,
        path=path,
        denied=True,
        policy=pipeline.policy.digest,
    )
