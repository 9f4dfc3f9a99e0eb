"""Property tests draw the same examples on every run, so that a failure can be repeated."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile(
    "unit", derandomize=True, deadline=None, database=None, max_examples=200, print_blob=True
)
settings.load_profile("unit")
