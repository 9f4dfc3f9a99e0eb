"""Positions that are given as ranges."""

from __future__ import annotations

import random

from persistence.chain.ranges import NOWHERE, Ranges


def test_a_position_is_in_ranges_if_it_is_in_one_of_them() -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(200):
        bounds = sorted(rng.sample(range(1, 60), 2 * rng.randint(0, 6)))
        ranges = [range(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=True)]
        rng.shuffle(ranges)
        found = Ranges(ranges)
        for seq in range(62):
            assert (seq in found) == any(seq in one for one in ranges)


def test_ranges_that_adjoin_have_all_their_positions_and_no_ranges_have_none() -> None:
    assert [seq for seq in range(9) if seq in Ranges([range(4, 6), range(2, 4)])] == [2, 3, 4, 5]
    assert 1 not in NOWHERE
    assert "1" not in Ranges([range(2)])
