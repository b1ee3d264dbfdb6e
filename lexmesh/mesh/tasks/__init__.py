"""Tasks: who is given one, what becomes of each attempt, and what a node that works remembers (no clock or socket)."""
