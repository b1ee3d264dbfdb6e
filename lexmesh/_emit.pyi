"""Writes an envelope in either wire format, for the other compiled modules; its face for Python is `lexmesh._codec`."""
