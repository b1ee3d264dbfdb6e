"""lexmesh: a message mesh and gateway that polices every message against a consent policy.

The names below are the public interface; each is loaded when it is first used, so that `import lexmesh` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from lexmesh._batch import decode_batch, encode_batch
    from lexmesh._codec import StreamEvent
    from lexmesh._reading import StreamData
    from lexmesh.compute_pipeline import LexAmorisComputePipeline
    from lexmesh.config import MeshConfig
    from lexmesh.errors import (
        BusStoppedError,
        ConfigError,
        ConnectError,
        DeniedError,
        DisconnectedError,
        EventDroppedError,
        HandshakeError,
        LexmeshError,
        MalformedError,
        NoNodeError,
        NotConnectedError,
        OverflowDisconnectError,
        PolicyError,
        PortInUseError,
        RequestTimeoutError,
        SubjectError,
        TaskError,
        TaskFailedError,
        TaskRefusedError,
        TaskTimeoutError,
        TransportError,
    )
    from lexmesh.events import DataType, EventType
    from lexmesh.mesh.clock import FrequencySync
    from lexmesh.mesh.core import MeshCore
    from lexmesh.mesh.event_bus import EventBus
    from lexmesh.mesh.mesh_registry import MeshRegistry
    from lexmesh.mesh.synchronizer import StateSynchronizer
    from lexmesh.mesh.tasks.attempt import TaskAttempt
    from lexmesh.nsr import NsrPolicy, Verdict
    from lexmesh.pipeline import Outcome, StreamPipeline
    from lexmesh.transports.grpc import AsyncGrpcClient, GrpcClient, GrpcLink, GrpcServer, GrpcTls, LinkClient
    from lexmesh.transports.websocket import WebSocketClient, WebSocketServer

_HOMES = {
    "lexmesh._batch": ("decode_batch", "encode_batch"),
    "lexmesh._codec": ("StreamEvent",),
    "lexmesh._reading": ("StreamData",),
    "lexmesh.config": ("MeshConfig",),
    "lexmesh.errors": (
        "BusStoppedError",
        "ConfigError",
        "ConnectError",
        "DeniedError",
        "DisconnectedError",
        "EventDroppedError",
        "HandshakeError",
        "LexmeshError",
        "MalformedError",
        "NoNodeError",
        "NotConnectedError",
        "OverflowDisconnectError",
        "PolicyError",
        "PortInUseError",
        "RequestTimeoutError",
        "SubjectError",
        "TaskError",
        "TaskFailedError",
        "TaskRefusedError",
        "TaskTimeoutError",
        "TransportError",
    ),
    "lexmesh.events": ("DataType", "EventType"),
    "lexmesh.mesh.clock": ("FrequencySync",),
    "lexmesh.mesh.event_bus": ("EventBus",),
    "lexmesh.mesh.core": ("MeshCore",),
    "lexmesh.mesh.mesh_registry": ("MeshRegistry",),
    "lexmesh.mesh.synchronizer": ("StateSynchronizer",),
    "lexmesh.mesh.tasks.attempt": ("TaskAttempt",),
    "lexmesh.nsr": ("NsrPolicy", "Verdict"),
    "lexmesh.compute_pipeline": ("LexAmorisComputePipeline",),
    "lexmesh.pipeline": ("Outcome", "StreamPipeline"),
    "lexmesh.transports.grpc": ("AsyncGrpcClient", "GrpcClient", "GrpcLink", "GrpcServer", "GrpcTls", "LinkClient"),
    "lexmesh.transports.websocket": ("WebSocketClient", "WebSocketServer"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AsyncGrpcClient",
    "BusStoppedError",
    "ConfigError",
    "ConnectError",
    "DataType",
    "DeniedError",
    "DisconnectedError",
    "EventBus",
    "EventDroppedError",
    "EventType",
    "FrequencySync",
    "GrpcClient",
    "GrpcLink",
    "GrpcServer",
    "GrpcTls",
    "HandshakeError",
    "LexAmorisComputePipeline",
    "LexmeshError",
    "LinkClient",
    "MalformedError",
    "MeshConfig",
    "MeshCore",
    "MeshRegistry",
    "NoNodeError",
    "NotConnectedError",
    "NsrPolicy",
    "Outcome",
    "OverflowDisconnectError",
    "PolicyError",
    "PortInUseError",
    "RequestTimeoutError",
    "StateSynchronizer",
    "StreamData",
    "StreamEvent",
    "StreamPipeline",
    "SubjectError",
    "TaskAttempt",
    "TaskError",
    "TaskFailedError",
    "TaskRefusedError",
    "TaskTimeoutError",
    "TransportError",
    "Verdict",
    "WebSocketClient",
    "WebSocketServer",
    "__version__",
    "decode_batch",
    "encode_batch",
]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - slow to import, seldom wanted

    try:
        return version("lexmesh")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'lexmesh' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
