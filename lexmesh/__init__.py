"""lexmesh."""
