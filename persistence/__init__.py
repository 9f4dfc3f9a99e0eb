"""Bytes in order: the journal port, its implementations and the group-commit writer."""
