"""The descriptors of `protos/lexmesh/v1/internode.proto`, which the build makes: for reflection, and for clients that
want Google's message classes.

They are in a pool of their own: a program may have generated Python from the same .proto, under whatever name.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "lexmesh.v1"
DESCRIPTORS = "internode.binpb"


def add_descriptors(pool: descriptor_pool.DescriptorPool) -> None:
    """Makes the messages and the service known to a pool."""
    descriptors = descriptor_pb2.FileDescriptorSet.FromString(files("lexmesh").joinpath(DESCRIPTORS).read_bytes())
    for file in descriptors.file:
        pool.AddSerializedFile(file.SerializeToString())


@cache
def _messages() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    add_descriptors(pool)
    return pool


def message_class(name: str) -> Any:
    """Google's class of one of our messages.

    Args:
        name: such as "EventMessage".

    Returns:
        The class.

    Raises:
        KeyError: if there is no such message.
    """
    return message_factory.GetMessageClass(_messages().FindMessageTypeByName(f"{PACKAGE}.{name}"))
