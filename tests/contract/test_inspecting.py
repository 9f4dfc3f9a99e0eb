"""A look at a log behind damage: walks through tables, and the chain behind a gap."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from actors.audit.findings import Finding
from actors.audit.rows import FINDINGS_MAX, DamagedRows
from messages.stored.form import FORM
from persistence.errors import Damaged
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.inspecting.rows import Fit, Gap, Seen
from persistence.sqlite.inspecting.tables import Unreadable, rows_of
from persistence.sqlite.inspecting.walk import LUMP, LogWalk, Unread
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.journal import SQLiteJournal
from tests.support.data import PAGE, blank_page_of, edit, patch
from tests.support.rows import make_row

ROWS = 2 * LUMP + 500
USERS = ["alice", "bob", "carol"]


@pytest.fixture
async def log(directory: Path) -> Path:
    """A log of more rows than are read at once, each with a key of its own."""
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.append(
        [make_row(seq, USERS[seq % 3], key=f"key {seq}.") for seq in range(1, ROWS + 1)]
    )
    await journal.close()
    return directory


def walked(directory: Path, after: int = 0, where: str = "") -> Iterator[Any]:
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        walk = LogWalk(db, ROWS)
        for lump in walk.lumps("seq"):
            if not where:
                yield from lump
        if where:
            for lump in walk.lumps("seq", after, where):
                yield from lump


async def test_a_walk_gives_each_row_once_and_in_order(log: Path) -> None:
    assert [*walked(log)] == [(seq,) for seq in range(1, ROWS + 1)]
    alice = [(seq,) for seq in range(3, ROWS + 1, 3) if seq > 700]
    assert [*walked(log, 700, " AND user_id = 'alice'")] == alice


async def test_a_walk_passes_over_a_page_and_gives_all_others(log: Path) -> None:
    blank_page_of(log, "key 1234.")
    found = [*walked(log)]
    unread = [one.key for one in found if isinstance(one, Unread)]
    assert unread == [*range(unread[0], unread[-1] + 1)]
    assert 1234 in unread
    assert len(unread) < 60
    assert [one[0] for one in found] == [*range(1, ROWS + 1)]
    # What is looked for by a condition is found on both sides too.
    rest = [one[0] for one in walked(log, 0, " AND user_id = 'bob'") if not isinstance(one, Unread)]
    assert rest == [seq for seq in range(1, ROWS + 1, 3) if seq not in unread]


async def test_a_walk_finds_rows_behind_pages_that_changed_places(log: Path) -> None:
    def swap(content: bytearray) -> None:
        one, other = (content.index(key) // PAGE * PAGE for key in (b"key 300.", b"key 1900."))
        kept = content[one : one + PAGE]
        content[one : one + PAGE] = content[other : other + PAGE]
        content[other : other + PAGE] = kept

    patch(log / DATABASE, swap)
    found = [one[0] for one in walked(log) if not isinstance(one, Unread)]
    assert found == sorted(set(found))
    assert ROWS - len(found) < 120
    assert {200, 500, 1700, 2100} <= {*found}


async def test_a_gap_is_one_however_many_rows_are_missing(log: Path) -> None:
    edit(log, "DELETE FROM log WHERE seq BETWEEN 200 AND 1800")
    with Inspection.open(log) as inspection:
        gaps = [one for one in inspection.seen() if isinstance(one, Gap)]
    assert gaps == [Gap(200, 1800, unread=False)]


async def test_the_chain_says_nothing_of_whole_rows_behind_a_gap_and_goes_on_from_them(
    log: Path,
) -> None:
    edit(log, "DELETE FROM log WHERE seq BETWEEN 200 AND 210")

    def broken(*, passed_over: bool) -> list[int]:
        found = []
        with Inspection.open(log) as inspection:
            chain = inspection.chain()
            for one in inspection.seen():
                if isinstance(one, Gap):
                    found += [it.first for it in (chain.skip(one.last) if passed_over else ())]
                    continue
                checked = one.fit is Fit.WHOLE
                found += [
                    it.first for it in chain.take(one.row, one.proof, one.link, checked=checked)
                ]
            return found + [it.first for it in chain.end()]

    assert broken(passed_over=False) == [200, 211, 212, 213]
    assert broken(passed_over=True) == []
    # A link behind those that were changed with its checksum is found still.
    edit(log, "UPDATE log SET chain = zeroblob(24) WHERE seq = 230")
    assert broken(passed_over=True) == [230, 233]


async def test_a_row_of_before_checksums_that_a_read_refuses_is_none_of_before_for_a_look_either(
    log: Path,
) -> None:
    edit(
        log,
        f"UPDATE position SET seq = {ROWS}, checksum = NULL WHERE name = 'unchecked';"
        "UPDATE log SET chain = substr(chain, 1, 16);"
        "UPDATE log SET chain = NULL WHERE seq = 4; UPDATE log SET chain = x'' WHERE seq = 5;"
        "UPDATE log SET chain = '' WHERE seq = 6; UPDATE log SET chain = 16 WHERE seq = 7;"
        "UPDATE log SET chain = 'sixteen letters.' WHERE seq = 8;"
        "UPDATE log SET proof = 'a text' WHERE seq = 9",
    )
    with Inspection.open(log) as inspection:
        fits = {one.row.seq: one.fit for one in inspection.seen() if isinstance(one, Seen)}
    journal = await SQLiteJournal.open(log, FORM)
    for seq in range(1, 12):
        with nullcontext() if seq not in range(6, 10) else pytest.raises(Damaged):
            assert [row.seq for row in await journal.rows(seq - 1, 1)] == [seq]
    await journal.close()
    assert {seq for seq, fit in fits.items() if fit is not Fit.UNSAID} == {6, 7, 8, 9}
    assert {fits[seq] for seq in range(6, 10)} == {Fit.HEAD}


async def test_a_table_is_read_from_both_ends_and_what_is_between_is_named(directory: Path) -> None:
    path = directory.parent / "table.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text)")
        db.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"text {n}.") for n in range(1, 2_001)])
        db.commit()

    def change(content: bytearray) -> None:
        for text in (b"text 500.", b"text 1500."):
            at = content.index(text) // PAGE * PAGE
            content[at : at + PAGE] = bytes(PAGE)

    patch(path, change)
    with closing(sqlite3.connect(path)) as db:
        found = [*rows_of(db, "t", "id", "id")]
    gaps = [one for one in found if isinstance(one, Unreadable)]
    rows = {one[0] for one in found if not isinstance(one, Unreadable)}
    assert len(gaps) == 2
    assert {499, 1000, 1500, 2000} & rows == {1000, 2000}
    missing = {seq for one in gaps for seq in range(one.above + 1, one.below or 0)}
    assert missing == {*range(1, 2_001)} - rows


def test_of_very_many_damaged_places_the_rest_is_counted() -> None:
    found: list[Finding] = []
    rows = DamagedRows(found.append)
    count = FINDINGS_MAX + 50
    for number in range(1, count + 1):
        row = make_row(2 * number)
        rows.damaged(Seen(row, None, None, True, Fit.BODY))
        rows.whole(make_row(2 * number + 1))
    rows.end()
    assert len(found) == FINDINGS_MAX + 1
    assert found[-1].why == "50 more places are damaged between these"
    assert found[-1].rows == (2 * FINDINGS_MAX + 2, 2 * count)
