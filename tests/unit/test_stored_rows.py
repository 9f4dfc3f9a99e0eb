"""Rows of a range are all there, each once and in order, or a position of the range is named."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from persistence.archive.lookup import Archives
from persistence.chain.losses import Loss, Losses
from persistence.errors import Damaged
from persistence.sqlite.stored_rows import StoredRows
from tests.support.rows import make_row


def refused(found: list[int], positions: range, lost: Losses) -> int | None:
    """Which position is named, None if the rows are taken for those of the range."""
    stored = StoredRows(0, Archives(Path()), lost)
    try:
        stored._in_order([make_row(seq) for seq in found], positions)
    except Damaged as error:
        return error.first
    return None


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ([11, 12, 13, 14, 15], None),
        ([11, 12, 14, 15], 13),
        ([], 11),
        ([11, 12, 3, 4, 5], 13),
        ([3, 12, 13, 14, 15], 11),
        ([11, 12, 12, 13, 14, 15], 13),
        ([11, 12, 13, 14, 15, 3], 15),
        ([3, 11, 12, 13, 14, 15], 11),
        ([11, 13, 12, 14, 15], 12),
        ([99, 11, 12, 14, 15], 13),
    ],
)
def test_the_first_position_is_named_that_has_not_its_row_alone(
    found: list[int], named: int | None
) -> None:
    assert refused(found, range(11, 16), Losses()) == named


def test_rows_at_lost_positions_alone_are_refused_with_one_of_the_range() -> None:
    lost = Losses([Loss(11, 15, 0)])
    assert refused([], range(11, 16), lost) is None
    assert refused([3], range(11, 16), lost) == 15


def test_whatever_is_found_only_a_position_of_the_range_is_named() -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    named = 0
    for _ in range(2_000):
        first = rng.randint(1, 30)
        positions = range(first, first + rng.randint(1, 8))
        lost = Losses([Loss(first + 1, first + 2, 0)] if rng.random() < 0.3 else [])
        wanted = [seq for seq in positions if seq not in lost]
        found = list(wanted)
        for _ in range(rng.randint(0, 3)):
            place = rng.randint(0, len(found))
            if rng.random() < 0.5:
                found[place:] = found[place + 1 :]
            else:
                found.insert(place, rng.randint(1, 45))
        seq = refused(found, positions, lost)
        assert (seq is None) == (found in (wanted, [*positions]))
        if seq is not None:
            named += 1
            assert seq in positions
            missing = [one for one in wanted if one not in found]
            assert seq == missing[0] if missing else True
    assert named > 500
