"""Actors in general: one live actor per id. Knows nothing of billing or NATS."""
