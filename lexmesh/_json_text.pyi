"""The lexical level of JSON, for the other compiled modules."""
