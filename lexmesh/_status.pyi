"""Statuses as words and exceptions, for the other compiled modules."""
