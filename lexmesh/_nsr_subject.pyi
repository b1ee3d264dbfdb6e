"""Which event types a rule is for."""
