"""Ids as text, for the other compiled modules."""
