"""Evidence: each row of a partition is linked to the one before it."""
