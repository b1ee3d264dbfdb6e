"""``python -m lexmesh.cli`` is ``lexmesh``."""

from . import main

if __name__ == "__main__":
    main()
