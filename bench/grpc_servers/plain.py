"""What one writes with grpc.aio and generated classes alone: `python -m grpc_servers.plain PORT`."""

import asyncio
import importlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parents[2] / "protos"


def generated(scratch: str) -> tuple[Any, Any]:
    """The classes that protoc makes of internode.proto."""
    arguments = [f"-I{PROTOS}", f"--python_out={scratch}", f"--grpc_python_out={scratch}"]
    if protoc.main(["protoc", *arguments, "lexmesh/v1/internode.proto"]):
        raise SystemExit("internode.proto does not compile")
    renamed = Path(scratch) / "lexmesh"  # the package of that name is another one here
    renamed.rename(Path(scratch) / "generated")
    stub = Path(scratch) / "generated/v1/internode_pb2_grpc.py"
    stub.write_text(stub.read_text().replace("from lexmesh.v1", "from generated.v1"))
    sys.path.insert(0, scratch)
    return importlib.import_module("generated.v1.internode_pb2"), importlib.import_module(
        "generated.v1.internode_pb2_grpc"
    )


async def serve(port: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        messages, services = generated(scratch)
    taken = 0

    def handle(event: Any) -> None:
        nonlocal taken
        if event.event_type == "sensor_reading" and event.payload:
            taken += 1

    class Servicer(services.InternodeServiceServicer):
        async def StreamEvents(self, requests: AsyncIterator[Any], _context: object) -> AsyncIterator[Any]:
            async for event in requests:
                handle(event)
                yield messages.EventResponse(success=True, message="routed", timestamp=time.time_ns() // 1_000_000)

        async def SendData(self, request: Any, _context: object) -> Any:
            if request.data_type == "sensor_reading" and request.data:
                return messages.DataResponse(success=True, message="routed", timestamp=time.time_ns() // 1_000_000)
            return messages.DataResponse(success=False)

    server = grpc.aio.server()
    services.add_InternodeServiceServicer_to_server(Servicer(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
