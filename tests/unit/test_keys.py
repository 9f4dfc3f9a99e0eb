from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.keys import KeyFilter

pairs = st.tuples(st.sampled_from(["alice", "bob", "ünï"]), st.text(max_size=6))


def of(user: str, first: int, count: int) -> list[tuple[str, str]]:
    return [(user, f"key-{n}") for n in range(first, first + count)]


@given(st.lists(st.one_of(pairs, st.integers(0, 20)), max_size=60), st.integers(1, 4))
def test_a_pair_that_was_put_in_is_never_surely_new(
    steps: list[tuple[str, str] | int], capacity: int
) -> None:
    keys, added = KeyFilter(capacity), set[tuple[str, str]]()
    for step in steps:
        if isinstance(step, int):
            keys.reserve(step)
        else:
            keys.add(*step)
            added.add(step)
        assert not any(keys.surely_new(*pair) for pair in added)


def test_every_pair_is_surely_new_to_an_empty_filter() -> None:
    assert all(KeyFilter().surely_new(*pair) for pair in of("alice", 0, 1_000))


def test_a_key_that_was_used_is_not_new_for_its_user_only() -> None:
    keys = KeyFilter()
    keys.add("alice", "k")
    assert not keys.surely_new("alice", "k")
    assert keys.surely_new("bob", "k")
    assert keys.surely_new("alice", "k2")
    assert keys.surely_new("alicek", "")


@pytest.mark.parametrize("capacity", [1_000, 8_000, 1 << 16])
def test_few_pairs_that_were_never_put_in_are_looked_up(capacity: int) -> None:
    # Grown twice, full, or with room to spare: about 0.2 % for each full filter.
    keys = KeyFilter(capacity)
    for pair in of("alice", 0, 8_000):
        keys.add(*pair)
    asked = [*of("alice", 8_000, 5_000), *of("bob", 0, 5_000)]
    assert sum(not keys.surely_new(*pair) for pair in asked) < 150


def test_a_filter_grows_by_whole_filters_and_keeps_the_old_ones() -> None:
    keys = KeyFilter(100)
    for pair in of("alice", 0, 501):
        keys.add(*pair)
    assert [len(words) for words in [*keys._full, keys._words]] == [38, 150, 600]
    assert not any(keys.surely_new(*pair) for pair in of("alice", 0, 501))


def test_room_that_was_reserved_needs_no_growth() -> None:
    keys = KeyFilter(10)
    keys.reserve(10)
    assert keys._full == []
    keys.reserve(1_000)
    for pair in of("alice", 0, 1_000):
        keys.add(*pair)
    assert len(keys._full) == 1
