"""A routed message in the formats that its recipients want, for the other compiled modules."""
