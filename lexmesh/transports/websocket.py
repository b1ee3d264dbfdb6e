"""The WebSocket transport: server and client."""

from lexmesh.transports.ws_client import WebSocketClient
from lexmesh.transports.ws_server import WebSocketServer

__all__ = ["WebSocketClient", "WebSocketServer"]
