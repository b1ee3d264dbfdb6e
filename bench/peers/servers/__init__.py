"""Servers that exist only to be measured, each a module that is run with its port."""
