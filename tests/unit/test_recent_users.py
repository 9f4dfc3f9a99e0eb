"""Users in order: as if all were sorted for each page."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from persistence.sqlite.recent_users import RUN, RecentUsers
from tests.support.turns import instructions, turns_of_the_loop

NAMES = st.text(alphabet="ab\x00\U0010ffff", max_size=4)


@given(st.sets(NAMES, max_size=80), NAMES, NAMES, st.integers(1, 5), st.integers(0, 80))
def test_a_page_has_the_first_users_behind_one_that_begin_with_a_prefix(
    names: set[str], after: str, prefix: str, limit: int, cut: int
) -> None:
    users, mixed = RecentUsers(), sorted(names)
    random.Random(cut).shuffle(mixed)
    users._runs = [sorted(mixed[:cut]), sorted(mixed[cut : cut + 20])]
    users.unsorted = mixed[cut + 20 :]
    wanted = [name for name in sorted(names) if name > after and name.startswith(prefix)]
    assert users.after(after, limit, prefix) == wanted[:limit]


def of(count: int) -> RecentUsers:
    users = RecentUsers()
    users.unsorted += [f"u{number}" for number in range(count)]
    random.Random(7).shuffle(users.unsorted)
    return users


async def test_users_are_sorted_in_turns_and_only_once() -> None:
    users = of(100 * RUN + 5)
    with turns_of_the_loop() as turns:
        await asyncio.create_task(users.sort())
    assert turns.longest < turns.total / 20
    with turns_of_the_loop() as turns:
        await asyncio.create_task(users.sort())
    assert turns.total < 1_000
    assert len(users.unsorted) == 5


async def test_a_page_costs_its_rows_and_not_all_users() -> None:
    few, many = of(RUN), of(100 * RUN)
    for users in (few, many):
        await users.sort()
    least = instructions(lambda: few.after("u5", 1, ""))
    most = instructions(lambda: many.after("u5", 1, ""))
    assert most < least + 100 * 100  # a look at each of a hundred runs
