"""lexmesh's server with its default policy and a handler: `python -m grpc_servers.ours PORT`."""

import sys

from lexmesh import GrpcServer, StreamEvent

taken = 0


def handle(event: StreamEvent) -> None:
    global taken  # noqa: PLW0603 - as short as the plain one's
    if event.event_type == "sensor_reading":
        taken += 1


if __name__ == "__main__":
    server = GrpcServer("node", int(sys.argv[1]))
    server.register_event_handler("sensor_reading", handle)
    server.start()
    server.wait_for_termination()
