"""What an operator asks for while the service runs: rebuild, forget, snapshot, archive."""
