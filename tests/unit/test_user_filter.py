from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.sqlite import user_filter
from persistence.sqlite.blocks import Run
from persistence.sqlite.user_filter import (
    BITS,
    UserFilter,
    body_of,
    filter_checksum,
    filter_of,
    maybe_of,
    put_in,
)

RUN = Run(1, 0, 100, 7)
users_ = st.text(st.characters(codec="utf-8"), max_size=32)


def seeded() -> random.Random:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    return random.Random(seed)


def made(users: list[str]) -> UserFilter:
    return UserFilter(body_of([users], len(users)))


@given(st.lists(st.sets(users_, min_size=1, max_size=40), min_size=1, max_size=5), users_)
def test_a_run_that_has_rows_of_a_user_is_never_passed_over(
    of_runs: list[set[str]], nobody: str
) -> None:
    runs = [Run(at, at - 1, at, 7) for at in range(1, len(of_runs) + 1)]
    filters = {run.id: made(sorted(of)) for run, of in zip(runs, of_runs, strict=True)}
    for user in set().union(*of_runs):
        having = [run for run, of in zip(runs, of_runs, strict=True) if user in of]
        assert set(having) <= set(maybe_of(runs, filters, [user]))
        assert set(having) <= set(maybe_of(runs, filters, [nobody, user]))


def test_a_filter_of_ten_bits_a_user_misleads_about_few_others() -> None:
    random_ = seeded()
    names = [f"user-{number}" for number in random_.sample(range(10_000_000), 20_000)]
    inside, others = names[:10_000], names[10_000:]
    filters = {1: made(inside)}
    assert filters[1].size <= 10_000 * BITS / 8 * 1.01
    misled = sum(bool(maybe_of([RUN], filters, [user])) for user in others)
    assert 0 < misled < 600


def test_a_run_without_a_filter_is_always_looked_into() -> None:
    assert maybe_of([RUN], {}, ["alice"]) == [RUN]


def test_a_filter_that_is_not_as_it_was_written_is_none() -> None:
    random_ = seeded()
    body = body_of([["alice", "bob"]], 2)
    check = filter_checksum(RUN, body)
    assert filter_of(RUN, body, check) is not None
    at = random_.randrange(8 * len(body))
    changed = (int.from_bytes(body, "big") ^ 1 << at).to_bytes(len(body), "big")
    for run, said, stored in (
        (RUN, changed, check),
        (RUN, body[:-4], check),
        (RUN, b"", check),
        (RUN, "text", check),
        (RUN, body, check + 1),
        (RUN, body, None),
        (RUN._replace(file=8), body, check),
        (RUN._replace(id=2), body, check),
    ):
        assert filter_of(run, said, stored) is None, (run, said, stored)


def test_filters_take_no_more_memory_than_their_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = made([f"u{number}" for number in range(1_000)])
    filters = dict[int, UserFilter]()
    monkeypatch.setattr(user_filter, "BYTES_MAX", 3 * one.size)
    for number in range(1, 6):
        put_in(filters, RUN._replace(id=number), one)
    assert [*filters] == [3, 4, 5]
