"""Both ends of a measurement through Redis, each a process of its own."""
