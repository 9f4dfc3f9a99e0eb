"""The contract of `Ends`, held against every implementation; and the index of SQLite's."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from messages.stored.form import FORM
from persistence.journal import Journal
from persistence.records import Ended, Row
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row

ALL = 1_000_000
BEGIN = Ended(-1, 0, "")


def compact(body: Any) -> str:
    return json.dumps(body, separators=(",", ":"))


def opened(seq: int, user: str, end: Any, key: str = "p") -> Row:
    return make_row(seq, user, kind="period_rolled", body=compact({"key": key, "end": end}))


def closed(seq: int, user: str, key: str = "p") -> Row:
    body = compact({"totals": {"key": key}})
    return make_row(seq, user, kind="period_closed", body=body)


def used(seq: int, user: str) -> Row:
    return make_row(seq, user)


async def found(journal: Journal, until: int, after: Ended = BEGIN, limit: int = ALL) -> list[str]:
    """Whose is over, over all pages of a walk."""
    users: list[str] = []
    while True:
        page = await journal.ended(after, until, limit)
        users += [one.user for one in page.found]
        if page.last is None:
            return users
        after = page.last


async def test_periods_that_are_over_are_found_in_the_order_of_their_ends(journal: Journal) -> None:
    ends = {"a": 30, "b": 10, "c": 20, "d": 10}
    rows = [opened(seq, user, end) for seq, (user, end) in enumerate(ends.items(), 1)]
    await journal.append([*rows, *(used(seq, user) for seq, user in enumerate(ends, 5))])
    assert await found(journal, 9) == []
    assert await found(journal, 20) == ["b", "d", "c"]
    assert await found(journal, 30) == ["b", "d", "c", "a"]
    assert await found(journal, 30, Ended(10, 2, "b")) == ["d", "c", "a"]
    assert await found(journal, 10, Ended(10, 2, "b")) == ["d"]
    assert await found(journal, 9, Ended(10, 2, "b")) == []


async def test_periods_without_usage_are_not_found(journal: Journal) -> None:
    await journal.append([opened(1, "a", 10), opened(2, "b", 10), opened(3, "c", 10)])
    many = [make_row(seq, "b", kind="hold") for seq in range(4, 50)]
    await journal.append([*many, make_row(50, "c", kind="reset")])
    assert await found(journal, 10) == []
    await journal.append([used(51, "b"), used(52, "another")])
    assert await found(journal, 10) == ["b"]


async def test_periods_that_were_closed_or_followed_by_another_are_not_found(
    journal: Journal,
) -> None:
    users = ("a", "b", "c")
    await journal.append([opened(seq, user, 10) for seq, user in enumerate(users, 1)])
    await journal.append([used(seq, user) for seq, user in enumerate(users, 4)])
    await journal.append([closed(7, "a"), opened(8, "b", 20, "q"), closed(9, "c", "another")])
    assert await found(journal, 20) == ["c"]
    await journal.append([used(10, "b"), used(11, "a")])
    assert await found(journal, 20) == ["c", "b"]


async def test_a_row_without_an_end_or_with_a_damaged_body_is_passed_over(
    journal: Journal,
) -> None:
    damaged = make_row(1, "a", kind="period_rolled", body='{"end":')
    rows = [damaged, opened(2, "b", None), opened(3, "c", "x"), opened(4, "d", 10)]
    await journal.append([*rows, *(used(seq, user) for seq, user in enumerate("abcd", 5))])
    await journal.append([make_row(9, "d", kind="period_closed", body="{")])
    assert await found(journal, ALL) == ["d"]


async def test_a_walk_finds_what_a_model_finds_whatever_the_pages(
    journal: Journal, random_: random.Random
) -> None:
    open_: dict[str, tuple[int, int, str, bool]] = {}
    seq = 0
    for _ in range(12):
        rows = []
        for _ in range(random_.randrange(1, 25)):
            seq += 1
            user = f"u{random_.randrange(8)}"
            what = random_.choice(["open", "use", "use", "close", "other"])
            if what == "open":
                end = random_.randrange(6)
                open_[user] = (end, seq, f"p{seq}", False)
                rows.append(opened(seq, user, end, f"p{seq}"))
            elif what == "use":
                if user in open_:
                    open_[user] = (*open_[user][:3], True)
                rows.append(used(seq, user))
            elif what == "close" and user in open_:
                rows.append(closed(seq, user, open_.pop(user)[2]))
            else:
                rows.append(make_row(seq, user, kind="hold"))
        await journal.append(rows)
        until, limit = random_.randrange(7), random_.randrange(1, 9)
        wanted = sorted(
            (end, at, user)
            for user, (end, at, _, is_used) in open_.items()
            if is_used and end <= until
        )
        assert await found(journal, until, limit=limit) == [user for _, _, user in wanted]


async def test_the_moment_up_to_which_all_is_dealt_with_is_kept(journal: Journal) -> None:
    assert await journal.dealt_with() == 0
    for until in (1_800_000_000_000_000, 17):
        await journal.mark_dealt_with(until)
        assert await journal.dealt_with() == until


async def filled(directory: Path) -> None:
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.append([opened(1, "a", 10), used(2, "a"), opened(3, "b", 20), used(4, "b")])
    await journal.mark_dealt_with(5)
    await journal.close()


async def test_a_start_makes_nothing_anew_and_goes_on_where_it_was(directory: Path) -> None:
    with capture_logs() as lines:
        await filled(directory)
        journal = await SQLiteJournal.open(directory, FORM)
    assert [line for line in lines if "anew" in line["event"]] == []
    assert (await found(journal, 20), await journal.dealt_with()) == (["a", "b"], 5)
    await journal.append([closed(5, "a")])
    await journal.close()
    again = await SQLiteJournal.open(directory, FORM)
    assert await found(again, 20) == ["b"]
    await again.close()
