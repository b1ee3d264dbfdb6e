"""The methods of InternodeService as gRPC names them."""

SEND_DATA = "/lexmesh.v1.InternodeService/SendData"
STREAM_EVENTS = "/lexmesh.v1.InternodeService/StreamEvents"
HEALTH_CHECK = "/lexmesh.v1.InternodeService/HealthCheck"
LINK = "/lexmesh.v1.InternodeService/Link"
