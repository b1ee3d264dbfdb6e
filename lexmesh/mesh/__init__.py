"""Nodes that find, know and agree with each other."""
