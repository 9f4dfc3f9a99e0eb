"""Every verb, while writes and reads fail and the service ends and begins again."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

from tests.sim.world.lifetimes import simulate
from tests.support.service import ROOT

SEEDS: Final = range(24)
FEW_CALLS: Final = 12


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_fails_every_answer_is_one_of_a_serial_history(seed: int) -> None:
    life = simulate(seed)
    assert life.compared > 100
    assert life.faults > 50


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seed_makes_the_same_life_again(seed: int) -> None:
    one, other = simulate(seed, calls=FEW_CALLS), simulate(seed, calls=FEW_CALLS)
    assert one.trace == other.trace
    assert one.events == other.events
    assert one.trace != simulate(seed + 10, calls=FEW_CALLS).trace


@pytest.mark.parametrize("salt", ["1", "2"])
def test_a_seed_makes_the_same_life_in_another_process(salt: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "tests.sim", "--first", "4", "--seeds", "1", "--calls", "12"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": salt},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert simulate(4, calls=FEW_CALLS).trace in found.stdout
