from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence.key_filter import VERSION, KeyFilter, Part, empty_words

pairs = st.tuples(st.sampled_from(["alice", "bob", "ünï"]), st.text(max_size=6))


def of(user: str, first: int, count: int) -> list[tuple[str, str]]:
    return [(user, f"key-{n}") for n in range(first, first + count)]


def copy_of(keys: KeyFilter) -> KeyFilter:
    copy = KeyFilter(1, 2)
    copy.restore(keys.parts())
    return copy


@given(st.lists(st.one_of(pairs, st.integers(0, 20)), max_size=60), st.integers(1, 4))
def test_a_pair_that_was_put_in_is_never_surely_new(
    steps: list[tuple[str, str] | int], capacity: int
) -> None:
    keys, added = KeyFilter(capacity, 4 * capacity), set[tuple[str, str]]()
    for step in steps:
        if isinstance(step, int):
            keys = copy_of(keys)
        else:
            keys.claim(*step)
            added.add(step)
        assert not any(keys.surely_new(*pair) for pair in added)


def test_every_pair_is_surely_new_to_an_empty_filter() -> None:
    assert all(KeyFilter().surely_new(*pair) for pair in of("alice", 0, 1_000))


def test_a_key_that_was_used_is_not_new_for_its_user_only() -> None:
    keys = KeyFilter()
    keys.claim("alice", "k")
    assert not keys.surely_new("alice", "k")
    assert keys.surely_new("bob", "k")
    assert keys.surely_new("alice", "k2")
    assert keys.surely_new("alicek", "")


@pytest.mark.parametrize("capacity", [1_000, 8_000, 60_000])
def test_few_pairs_that_were_never_put_in_are_looked_up(capacity: int) -> None:
    # Grown twice, full, or with room to spare: 0.2 % for a full first filter, 0.4 % for others.
    keys = KeyFilter(capacity, 4 * capacity)
    for pair in of("alice", 0, 8_000):
        keys.claim(*pair)
    asked = [*of("alice", 8_000, 5_000), *of("bob", 0, 5_000)]
    assert sum(not keys.surely_new(*pair) for pair in asked) < 150


@pytest.mark.parametrize(
    "key_of",
    [
        lambda n: f"{n}",
        lambda n: f"{n:032d}",
        lambda n: (
            f"2026-11-{n // 3600 % 28 + 1:02d}T{n // 60 % 60:02d}:{n % 60:02d}.{n % 1000:03d}"
        ),
        lambda n: f"0190{n:08x}-7{n % 4096:03x}-8000-{n * 2654435761 % 2**48:012x}",
    ],
)
def test_keys_that_differ_in_a_pattern_are_told_apart(key_of: Callable[[int], str]) -> None:
    keys, count = KeyFilter(50_000), 50_000
    for n in range(count):
        keys.claim(f"user-{n % 1_000}", key_of(n))
    asked = range(count, count + 10_000)
    assert sum(not keys.surely_new(f"user-{n % 1_000}", key_of(n)) for n in asked) < 150


def test_a_filter_grows_by_whole_filters_and_keeps_the_old_ones() -> None:
    keys = KeyFilter(1_000, 4_000)
    for pair in of("alice", 0, 7_500):
        keys.claim(*pair)
    # The second is for all that is missing; from there on the words double.
    assert [len(part.words) for part in keys.parts()] == [1_009, 2_243, 3_253]
    assert not any(keys.surely_new(*pair) for pair in of("alice", 0, 7_500))


@pytest.mark.parametrize(("pairs", "words"), [(1_000, 1_009), (1_001, 3_001), (4_001, 6_007)])
def test_a_filter_that_knows_what_comes_is_one_filter(pairs: int, words: int) -> None:
    keys = KeyFilter(1_000, 4_000)
    keys.expect(pairs)
    for pair in of("alice", 0, pairs // 2):
        keys.claim(*pair)
    assert [len(part.words) for part in keys.parts()] == [words]


def test_places_are_the_same_in_every_process() -> None:
    # A filter that was kept is of no use if these change: then VERSION has to change too.
    keys = KeyFilter()
    keys.restore([Part(empty_words(13), 9)])
    keys.claim("alice", "k")
    keys.claim("ünï", "\0")
    (part,) = keys.parts()
    assert part.words.tolist() == [0, 811598080, 0, 0, 0, 905969668, 0, 0, 0, 0, 0, 0, 0]
    assert VERSION == 1


def test_memory_is_4_bytes_for_each_of_few_pairs_and_3_for_each_of_many() -> None:
    keys = KeyFilter(100_000, 400_000)
    assert sum(part.words.nbytes for part in keys.parts()) < 401_000
    keys.expect(380_000)
    assert sum(part.words.nbytes for part in keys.parts()) < 1_201_000
