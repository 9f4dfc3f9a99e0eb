"""The wire contract of meterd: all that a caller needs, and nothing else of the project."""
