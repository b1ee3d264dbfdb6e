"""What tests of users and of protocols stand on; `python -m lexmesh.testing --help`.

Loaded when first used: pytest imports the plugin in here at each start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexmesh.testing.echo import EchoServer
    from lexmesh.testing.faulty_network import Path
    from lexmesh.testing.mesh_network import MeshNetwork
    from lexmesh.testing.virtual_loop import SimulationError, run_virtually

__all__ = ["EchoServer", "MeshNetwork", "Path", "SimulationError", "run_virtually"]

_HOMES = {
    "EchoServer": "echo",
    "MeshNetwork": "mesh_network",
    "Path": "faulty_network",
    "SimulationError": "virtual_loop",
    "run_virtually": "virtual_loop",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'lexmesh.testing' has no attribute {name!r}")
    return getattr(import_module(f"lexmesh.testing.{home}"), name)
