"""Actors whose state comes from the log: what they share, and what they ask of a request."""
