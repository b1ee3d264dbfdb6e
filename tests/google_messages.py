"""Google's message classes for our protocol, made by protoc when asked for, so that no generated file is kept."""

from collections.abc import Callable
from importlib import import_module
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


def google_stubs(scratch: Path) -> Any:
    """Generates Python's own classes and stubs of protos/lexmesh/v1/internode.proto, as their users do.

    Args:
        scratch: directory for the generated modules.

    Returns:
        The module of the stubs; `messages` in it is the module of the classes.
    """
    protoc = pytest.importorskip("grpc_tools.protoc")
    arguments = ["protoc", f"-I{PROTOS / 'lexmesh' / 'v1'}", f"--python_out={scratch}", f"--grpc_python_out={scratch}"]
    assert protoc.main([*arguments, "internode.proto"]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(scratch)
        messages, stubs = import_module("internode_pb2"), import_module("internode_pb2_grpc")
    stubs.messages = messages
    return stubs
