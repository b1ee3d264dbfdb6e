"""Text to symbols."""
