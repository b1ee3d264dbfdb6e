"""Google's message classes for our protocol, made by protoc when asked for, so that no generated file is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PROTOS = Path(__file__).resolve().parent.parent / "protos"


def google_classes(scratch: Path) -> Callable[[str], Any]:
    """Compiles protos/lexmesh/v1/internode.proto.

    Args:
        scratch: directory for the compiled descriptors.

    Returns:
        A function from a message's name, such as "EventMessage", to its class.
    """
    protoc = pytest.importorskip("grpc_tools.protoc")
    out = scratch / "internode.pb"
    arguments = ["protoc", f"-I{PROTOS}", f"--descriptor_set_out={out}", "lexmesh/v1/internode.proto"]
    assert protoc.main(arguments) == 0
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file:
        pool.Add(file)
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"lexmesh.v1.{name}"))
