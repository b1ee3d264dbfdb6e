"""One end of a pair."""

import sys
from importlib import import_module

MODULES = {"lexmesh": "lexmesh", "zenoh": "zenoh", "pyzmq": "pyzmq", "nats-py": "nats"}

if __name__ == "__main__":
    role, library, port, count = sys.argv[1:]
    getattr(import_module(f"{__package__}.{MODULES[library]}"), role)(int(port), int(count))
