"""Usage from files: rows become `track` requests to a running service, each counted once."""
