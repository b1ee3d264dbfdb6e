"""Replicated state: what each node writes reaches all, and all end up with the same (no clock, socket or task here)."""
