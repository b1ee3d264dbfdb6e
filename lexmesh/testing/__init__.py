"""What tests of users and of protocols stand on; `python -m lexmesh.testing --help`."""

from lexmesh.testing.echo import EchoServer

__all__ = ["EchoServer"]
