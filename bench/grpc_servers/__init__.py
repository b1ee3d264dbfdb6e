"""Servers of InternodeService to compare, each in a process of its own, and the calls that load them."""
