"""Percent signs, HTML entities and backslashes: escapes of single characters."""
