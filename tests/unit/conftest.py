"""What the modules share. Property tests draw the same examples on every run: a failure repeats.

``METERD_FUZZ_EXAMPLES`` has them draw so many, other ones each time: `make fuzz`.
"""

from __future__ import annotations

import os
from functools import partial

import pytest
from hypothesis import HealthCheck, settings

from tests.support import answers
from tests.support.command_line import Serve

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


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Has commands find a service that answers as a test says."""
    return partial(answers.serve, monkeypatch)
