"""UTF-16 and UTF-32, told from their bytes."""
