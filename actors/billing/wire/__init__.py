"""Decisions and events as the bytes of replies."""
