"""The test of the tests: if a check is not made, the sweep finds what is said wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sweep.outcomes import DOUBLED, WRONG, table
from tests.sweep.planted import PLANTS, Plant
from tests.sweep.sweeping import EVERY, Share, prepare, run, workplace


@pytest.fixture(scope="module")
def work() -> Iterator[Path]:
    with workplace() as directory:
        prepare(directory)
        yield directory


@pytest.mark.parametrize("defect", PLANTS, ids=lambda defect: defect.name.replace(" ", "_"))
def test_if_something_is_not_compared_the_sweep_finds_a_wrong_answer(
    defect: Plant, work: Path
) -> None:
    outcomes = run([Share(str(work), 0, 1, EVERY, quick=True, planted=defect.name)])
    print(table(outcomes))
    assert any({WRONG, DOUBLED} & {*outcome.all} for outcome in outcomes), outcomes
