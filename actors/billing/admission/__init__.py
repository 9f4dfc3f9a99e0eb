"""Whether a call may be made, and what is set aside for it."""
