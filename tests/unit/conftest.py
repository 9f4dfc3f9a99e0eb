"""Property tests draw the same examples on every run, so that a failure can be repeated.

``METERD_FUZZ_EXAMPLES`` has them draw so many, other ones each time: `make fuzz`.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "unit", derandomize=True, deadline=None, database=None, max_examples=200, print_blob=True
)
settings.register_profile(
    "fuzz",
    settings.get_profile("unit"),
    derandomize=False,
    max_examples=int(os.environ.get("METERD_FUZZ_EXAMPLES", "200")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fuzz" if "METERD_FUZZ_EXAMPLES" in os.environ else "unit")
