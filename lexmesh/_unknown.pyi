"""Takes fields that this version does not know from nodes, for the other compiled modules."""
