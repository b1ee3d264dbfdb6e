"""Decodes one JSON message, for the other compiled modules."""
