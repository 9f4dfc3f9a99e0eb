"""Mending: a damaged log and its backups become one whole log, where the chain proves it."""
