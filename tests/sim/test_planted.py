"""The test of the tests: defects that are planted in the service are found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sim.world.mutants import ALL, RARE, SECONDS_MAX, find


@pytest.mark.parametrize("plant", ALL, ids=lambda plant: plant.__name__)
def test_a_planted_defect_is_found_within_a_minute_of_the_cpu(
    plant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    found = find(plant, *(seed for rare, seed in RARE.items() if rare is plant))
    print(found)
    assert found.seconds < SECONDS_MAX
