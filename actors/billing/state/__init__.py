"""One user in memory: what events make of it, and its snapshot."""
