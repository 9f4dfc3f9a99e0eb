"""Which bounds a call touches, and when they warn."""
