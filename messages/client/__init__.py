"""The client that a caller installs."""
