from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persistence.keys import KeyFilter, KeyTable

pairs = st.tuples(st.sampled_from(["alice", "bob", "ünï"]), st.text(max_size=6))


def of(user: str, first: int, count: int) -> list[tuple[str, str]]:
    return [(user, f"key-{n}") for n in range(first, first + count)]


@given(st.lists(pairs, max_size=60), st.integers(1, 4))
def test_a_filter_never_denies_a_pair_that_was_put_in(
    added: list[tuple[str, str]], capacity: int
) -> None:
    found = KeyFilter(capacity)
    for count, pair in enumerate(added, 1):
        found.add(pair)
        assert all(found.may_hold(earlier) for earlier in added[:count])


def test_an_empty_filter_holds_nothing() -> None:
    assert not any(KeyFilter().may_hold(pair) for pair in of("alice", 0, 1_000))


@pytest.mark.parametrize("capacity", [1_000, 4_000, 1 << 16])
def test_few_pairs_that_were_never_put_in_are_held_for_possible(capacity: int) -> None:
    # Twice and more grown, or with room to spare: the share of false answers stays small.
    found = KeyFilter(capacity)
    for pair in of("alice", 0, 8_000):
        found.add(pair)
    wrong = sum(found.may_hold(pair) for pair in [*of("alice", 8_000, 5_000), *of("bob", 0, 5_000)])
    assert wrong < 400  # 4 %; about 1 % is expected where three filters are asked


def test_a_filter_grows_by_whole_filters_and_keeps_the_old_ones() -> None:
    found = KeyFilter(100)
    for pair in of("alice", 0, 701):
        found.add(pair)
    assert [len(bits) for bits in found._filters] == [200, 400, 800, 1_600]
    assert all(found.may_hold(pair) for pair in of("alice", 0, 701))


def test_a_key_that_was_used_is_not_new_for_its_user_only() -> None:
    table = KeyTable(10)
    assert table.surely_new("alice", "k")
    table.remember("alice", "k", 1)
    assert not table.surely_new("alice", "k")
    assert table.surely_new("bob", "k")
    assert table.surely_new("alice", "k2")
    assert table.surely_new("alicek", "")


@pytest.mark.parametrize("recent_max", [1, 7, 1_000])
def test_keys_that_left_the_recent_ones_are_still_known(recent_max: int) -> None:
    table = KeyTable(recent_max)
    for seq, (user, key) in enumerate(of("alice", 0, 100), 1):
        table.remember(user, key, seq)
        assert len(table._recent) <= recent_max
    assert not any(table.surely_new(*pair) for pair in of("alice", 0, 100))


def test_keys_of_the_log_are_known_from_the_start() -> None:
    table = KeyTable(10)
    table.load(of("alice", 0, 500))
    table.load([])
    assert not any(table.surely_new(*pair) for pair in of("alice", 0, 500))
    assert len(table._recent) == 0


def test_after_a_failed_write_only_the_log_can_tell_of_the_keys_behind_it() -> None:
    table = KeyTable(10)
    for seq in range(1, 6):
        table.remember("alice", f"key-{seq}", seq)
    table.forget_after(3)
    assert [key for _, key in table._recent] == ["key-1", "key-2", "key-3"]
    # They may be stored or not, so none of them may be taken for new without a look.
    assert not any(table.surely_new("alice", f"key-{seq}") for seq in range(1, 6))
    table.remember("alice", "key-5", 9)
    assert not table.surely_new("alice", "key-5")


@settings(max_examples=100)
@given(
    st.lists(st.one_of(pairs, st.integers(0, 40)), max_size=40),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_no_history_makes_a_used_key_look_new(
    steps: list[tuple[str, str] | int], recent_max: int, stride: int
) -> None:
    table, used, seq = KeyTable(recent_max), set[tuple[str, str]](), 0
    for step in steps:
        if isinstance(step, int):
            table.forget_after(step)
        else:
            seq += stride
            table.remember(*step, seq)
            used.add(step)
        assert not any(table.surely_new(*pair) for pair in used)
