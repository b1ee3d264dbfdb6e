"""A lexmesh gateway with a Python handler whose dict is sent back: python -m peers.servers.answering_gateway PORT."""

import sys

from lexmesh import WebSocketServer

if __name__ == "__main__":
    server = WebSocketServer("gateway", "127.0.0.1", int(sys.argv[1]))
    server.register_handler("ask", lambda data: {"answer": data["question"]})
    server.run()
