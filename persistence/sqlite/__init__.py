"""The journal in one SQLite file, and the files that are derived from it."""
