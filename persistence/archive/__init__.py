"""Bodies of old rows in files beside the log."""
