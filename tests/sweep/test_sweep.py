"""Whatever one file of a directory gives back that was not written, nothing wrong is said."""

from __future__ import annotations

import time
from typing import Final

import pytest

from tests.sweep.damages import KINDS
from tests.sweep.directory import SEED
from tests.sweep.outcomes import complaints, table
from tests.sweep.sweeping import sweep

EACH: Final = 1
"""Of each kind of damage in each page; `make torture` has all."""
JOBS: Final = 2
pytestmark = pytest.mark.timeout(600)


def test_whatever_is_damaged_nothing_wrong_is_said_no_key_counts_twice_and_verify_names_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    began = time.perf_counter()
    outcomes = sweep(EACH, JOBS, quick=True)
    with capsys.disabled():
        print(f"\n{table(outcomes)}\nseed {SEED}, {time.perf_counter() - began:.0f} s")
    assert {outcome.damage.kind for outcome in outcomes} == {*KINDS}
    bad = [outcome for outcome in outcomes if outcome.is_bad]
    assert not bad, complaints(bad)
