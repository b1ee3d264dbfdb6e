"""JSON as a stream of tokens."""
