"""The descriptors of `protos/lexmesh/v1/internode.proto`, which the build makes: for reflection, and for clients that
want Google's message classes."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "lexmesh.v1"
DESCRIPTORS = "internode.binpb"


def load_descriptors() -> None:
    """Makes the descriptors known to protobuf's default pool, which reflection reads."""
    pool = descriptor_pool.Default()
    descriptors = descriptor_pb2.FileDescriptorSet.FromString(files("lexmesh").joinpath(DESCRIPTORS).read_bytes())
    for file in descriptors.file:
        pool.AddSerializedFile(file.SerializeToString())


def message_class(name: str) -> Any:
    """Google's class of one of our messages.

    Args:
        name: such as "EventMessage".

    Returns:
        The class.

    Raises:
        KeyError: if there is no such message.
    """
    load_descriptors()
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.{name}"))
