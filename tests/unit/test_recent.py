"""The rows that the index does not have yet, against a plain list of them."""

from __future__ import annotations

import random

import pytest

from messages.stored.form import FORM
from persistence.records import Row
from persistence.sqlite.recent import RecentPositions
from tests.support.rows import make_row

NEWEST = 2**47


@pytest.fixture
def rows() -> list[Row]:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    seqs = [*sorted(rng.sample(range(1, 5_000), 900)), NEWEST]
    users = [f"user-{min(int(rng.expovariate(0.2)), 40)}" for _ in seqs]
    keys = [rng.choice([None, f"k{seq}"]) for seq in seqs]
    return [make_row(*it[:2], key=it[2]) for it in zip(seqs, users, keys, strict=True)]


@pytest.fixture
def tail(rows: list[Row]) -> RecentPositions:
    tail = RecentPositions(FORM)
    for start in range(0, len(rows), 70):
        tail.add(rows[start : start + 70])
    return tail


def test_a_user_s_positions_are_those_of_the_rows(rows: list[Row], tail: RecentPositions) -> None:
    assert (tail.count, tail.last) == (len(rows), NEWEST)
    for user in {*(row.user for row in rows), "nobody"}:
        mine = [row.seq for row in rows if row.user == user]
        assert list(tail.of(user)) == mine


def test_no_row_with_one_of_the_keys_is_left_out_and_hardly_another_is_there(
    rows: list[Row], tail: RecentPositions
) -> None:
    found = wanted = 0
    tail.add([make_row(n, "busy", key=f"b{n}") for n in range(NEWEST + 1, NEWEST + 40_000)])
    assert len(tail.maybe("busy", [f"b{NEWEST + 7}"])) < 3
    for row in rows:
        if row.key is not None:
            maybe = tail.maybe(row.user, [row.key, "never"])
            assert row.seq in maybe
            assert set(maybe) <= set(tail.of(row.user))
            found, wanted = found + len(maybe), wanted + 1
    assert found < wanted * 1.01  # of 4,000,000,000 others one


def test_a_key_of_another_user_is_not_found(tail: RecentPositions) -> None:
    assert tail.maybe("nobody", ["k1"]) == []
