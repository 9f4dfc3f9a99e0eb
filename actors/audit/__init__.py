"""Evidence for a reader from outside: replay compared with what is stored, and checkpoints."""
