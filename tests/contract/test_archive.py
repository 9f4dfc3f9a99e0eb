"""An archive held against every journal: what was moved into files reads as before."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from messages.stored.form import FORM
from persistence.errors import NotStored
from persistence.journal import Journal
from persistence.memory import MemoryJournal
from persistence.records import Loaded, Row
from persistence.sqlite.journal import SQLiteJournal
from tests.support.faults import Fault, FaultyJournal
from tests.support.rows import make_row, make_rows, make_snapshot

ALL = 1_000_000
EVER = 1 << 62
COMMON = FORM.common()


@pytest.fixture(params=["memory", "sqlite", "sqlite in small lumps", "faulty"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    journal: Journal
    if request.param == "sqlite":
        journal = await SQLiteJournal.open(tmp_path / "data", FORM)
    elif request.param == "sqlite in small lumps":
        journal = await SQLiteJournal.open(tmp_path / "data", FORM, lump_rows=700)
    else:
        journal = MemoryJournal(FORM)
        if request.param == "faulty":
            journal = FaultyJournal(journal)
    yield journal
    await journal.close()


@pytest.fixture
def random_() -> random.Random:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    return random.Random(seed)


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


async def test_bodies_come_back_byte_for_byte(journal: Journal) -> None:
    bodies = [
        *('{"ü":"\\u0000\\n"}', '{ "a" : 1.50 , "b":[ ] }', '{"\U0001f600":"\u2028"}', "[]"),
        *('"text"', "12e3", '{"a":1,"a":2}', '{"a":\n1}', "no JSON", '{"a":"\x7f"}'),
    ]
    rows = [make_row(seq, "ü\U0001f600 '", body=body) for seq, body in enumerate(bodies, 1)]
    await journal.append(rows)

    await archive_all(journal)

    assert await journal.rows(0, ALL) == rows


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


async def test_who_needs_a_snapshot_first_is_said(journal: Journal) -> None:
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
