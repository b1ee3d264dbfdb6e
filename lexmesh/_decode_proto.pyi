"""Decodes one protobuf message, for the other compiled modules."""
