"""The contract of `Retention`, held against every implementation.

What was erased is gone and nothing else is; what was moved into files reads as before.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from messages.stored.events import (
    ERASED,
)
from messages.stored.form import FORM
from persistence.errors import NotStored
from persistence.journal import Journal
from persistence.memory import MemoryJournal
from persistence.records import Loaded, Row
from tests.contract.conftest import IMPLEMENTATIONS
from tests.support.faults import Fault, FaultyJournal
from tests.support.rows import make_row, make_rows, make_snapshot, of_user

ALL = 1_000_000
EVER = 1 << 62
COMMON = FORM.common()

every_journal = pytest.mark.parametrize(
    "journal", [*IMPLEMENTATIONS, "sqlite in lumps of 700"], indirect=True
)


async def read_all(journal: Journal, rows: list[Row]) -> list[Any]:
    """All that the reads of a journal give."""
    found: list[Any] = [await journal.rows(0, ALL), await journal.notices(0, ALL)]
    for user in sorted({row.user for row in rows}):
        keys = [row.key for row in rows if row.user == user and row.key is not None]
        found += [
            await journal.history(user, 0, ALL),
            await journal.newest(user, len(rows) + 1, ALL),
            await journal.newest(user, len(rows) + 1, ALL, "hold"),
            await journal.newest(user, len(rows) + 1, ALL, "reset"),
            await journal.noticed(user, ALL, ALL),
            await journal.find_all(user, keys[:1_500]),
            *[await journal.find(user, key) for key in keys[:20]],
            await journal.load([user], ALL),
        ]
    return found


async def archive_all(journal: Journal, before: int = EVER, limit: int = 400) -> int:
    moved = 0
    while due := await journal.archivable(before, limit, 1):
        moved += await journal.archive(due.last)
    return moved


@every_journal
async def test_every_read_gives_the_same_before_and_after(
    journal: Journal, random_: random.Random
) -> None:
    rows = make_rows(random_, 1, 2_000)
    for start in range(0, len(rows), 250):
        await journal.append(rows[start : start + 250])
    before = await read_all(journal, rows)

    moved = await archive_all(journal, rows[1_500].at)

    assert moved == sum(row.kind in COMMON and not row.notify for row in rows[:1_500])
    assert await read_all(journal, rows) == before
    assert await journal.last_seq() == len(rows)


@every_journal
async def test_bodies_come_back_byte_for_byte(journal: Journal) -> None:
    bodies = [
        *('{"ü":"\\u0000\\n"}', '{ "a" : 1.50 , "b":[ ] }', '{"\U0001f600":"\u2028"}', "[]"),
        *('"text"', "12e3", '{"a":1,"a":2}', '{"a":\n1}', "no JSON", '{"a":"\x7f"}'),
    ]
    rows = [make_row(seq, "ü\U0001f600 '", body=body) for seq, body in enumerate(bodies, 1)]
    await journal.append(rows)

    await archive_all(journal)

    assert await journal.rows(0, ALL) == rows


@every_journal
async def test_a_step_ends_before_the_first_row_that_is_too_young(journal: Journal) -> None:
    rows = [make_row(seq) for seq in range(1, 9)]
    rows[4] = rows[4]._replace(user="bob", at=rows[7].at)
    await journal.append(rows)

    first = await journal.archivable(rows[6].at, 3, 1)
    assert first is not None
    assert first.last == 3
    assert await journal.archive(3) == 3
    second = await journal.archivable(rows[6].at, 3, 1)
    assert second is not None
    assert second.last == 4
    assert await journal.archive(4) == 1
    assert await journal.archivable(rows[6].at, 3, 1) is None
    assert await journal.archivable(0, 3, 1) is None


@every_journal
async def test_users_who_need_a_snapshot_first_are_named(journal: Journal) -> None:
    users = ["covered", "behind", "older", "none", "rare", "told"]
    rows = [make_row(seq, user) for seq, user in enumerate([*users, *users], 1)]
    rows = [row._replace(kind="reset") if row.user == "rare" else row for row in rows]
    rows = [row._replace(notify=row.user == "told") for row in rows]
    taken = [make_snapshot("covered", 7), make_snapshot("behind", 2)]
    await journal.append(rows, [*taken, make_snapshot("older", 9, schema=0)])

    due = await journal.archivable(EVER, 100, 1)
    assert due is not None
    assert (due.last, sorted(due.uncovered)) == (12, ["behind", "none", "older"])
    due = await journal.archivable(EVER, 6, 1)
    assert due is not None
    assert (due.last, sorted(due.uncovered)) == (6, ["none", "older"])


@every_journal
async def test_rows_are_appended_loaded_and_archived_further_after_an_archive(
    journal: Journal,
) -> None:
    rows = [make_row(seq, key=f"k{seq}", body=f'{{"n":{seq}}}') for seq in range(1, 301)]
    await journal.append(rows[:200])
    assert await archive_all(journal) == 200

    snapshot = make_snapshot("alice", 150)
    await journal.append(rows[200:], [snapshot])

    tail = [(row.seq, row.kind, row.at, row.body) for row in rows[150:]]
    assert await journal.load(["alice"], ALL) == {"alice": Loaded(snapshot, tail)}
    assert await archive_all(journal) == 100
    assert await journal.rows(0, ALL) == rows


@every_journal
async def test_personal_fields_of_archived_rows_are_erased_as_before(journal: Journal) -> None:
    rows = [make_row(seq, personal='{"ip_address":"::1"}') for seq in range(1, 4)]
    await journal.append(rows)
    await archive_all(journal)

    assert await journal.erase("alice") == 3
    assert await journal.rows(0, ALL) == [row._replace(personal="{}") for row in rows]


async def test_a_step_that_failed_can_be_taken_again() -> None:
    journal = FaultyJournal(MemoryJournal(FORM))
    await journal.append([make_row(1), make_row(2)])
    journal.fail_appends(Fault.NOT_STORED)
    with pytest.raises(NotStored):
        await journal.archive(2)
    assert await archive_all(journal) == 2


@every_journal
async def test_personal_fields_of_one_user_are_erased_and_nothing_else(
    journal: Journal, random_: random.Random
) -> None:
    rows = make_rows(random_, 1, 1_400)
    for start in range(0, len(rows), 200):
        await journal.append(rows[start : start + 200])
    keys = [row.key for row in of_user(rows, "user-3") if row.key is not None]
    theirs = of_user(rows, "user-3", lambda row: row.personal is not None)

    assert await journal.erase("user-3") == len(theirs)

    after = [row._replace(personal=ERASED) if row in theirs else row for row in rows]
    assert await journal.rows(0, ALL) == after
    assert await journal.history("user-3", 0, ALL) == of_user(after, "user-3")
    found = await journal.find_all("user-3", keys)
    assert found == {row.key: row for row in of_user(after, "user-3") if row.key is not None}


@every_journal
async def test_erased_fields_are_not_erased_again(journal: Journal) -> None:
    await journal.append([make_row(1, personal='{"ip_address":"::1"}'), make_row(2)])
    assert await journal.erase("alice") == 1
    assert await journal.erase("alice") == 0
    assert await journal.erase("bob") == 0


@every_journal
async def test_rows_go_on_to_be_appended_after_personal_fields_were_erased(
    journal: Journal,
) -> None:
    await journal.append([make_row(1, personal='{"ip_address":"::1"}')])
    await journal.erase("alice")
    new = make_row(2, personal='{"ip_address":"::2"}')
    await journal.append([new])
    assert (await journal.rows(0, ALL))[1:] == [new]
