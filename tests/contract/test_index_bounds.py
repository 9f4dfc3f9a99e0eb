"""Bounds alone say that a block of the index is not there: all the others are as they were written.

Here the comparison of bounds is left out, and an answer has to be wrong for that: otherwise it
would be another check that finds a missing block, and nobody would notice if this one was lost.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from messages.stored.form import FORM
from persistence.records import Row
from persistence.sqlite import blocks, index_reads, index_rebuild
from persistence.sqlite.blocks import Block, checksum
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.index_reads import Ask, Part
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.sections import Section
from tests.support.rows import make_row

FEW = tuple(f"few-{number:02}" for number in range(40))
"""Users with one row each: a block has some of them."""
MANY = "many"
"""A user whose rows take several blocks."""
LUMP = 400
ALL = 1_000_000


def first_is_taken(planted: pytest.MonkeyPatch) -> None:
    """The block that SQLite gives of a place is taken for the one that has it."""
    read = index_reads._read

    def taken(db: sqlite3.Connection, asks: Sequence[Ask], schema: str) -> list[Part | None]:
        return [part and part._replace(whole=True) for part in read(db, asks, schema)]

    planted.setattr(index_reads, "_covers", lambda *_, **__: True)
    planted.setattr(index_reads, "_read", taken)


def all_are_taken(planted: pytest.MonkeyPatch) -> None:
    """The blocks that SQLite gives, if they are fewer than the limit, are taken for all."""

    def taken(ask: Ask, found: list[tuple[Block, int]]) -> Part | None:
        found = sorted(found)
        if not found or any(checksum(ask.run, ask.section, one) != check for one, check in found):
            return None
        low, high = found[0][0].first, found[-1][0].next
        whole = len(found) < ask.blocks or (low <= ask.low and ask.high <= high)
        return Part([block.body for block, _ in found], low, high, whole)

    planted.setattr(index_reads, "checked", taken)


@pytest.fixture
async def rows(directory: Path, monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """Rows of a directory, whose index has one run of them all with small blocks."""
    monkeypatch.setattr(blocks, "BODY_BYTES", 120)
    monkeypatch.setattr(index_rebuild.Rebuild, "start", lambda *_: None)
    users = [*FEW, *[MANY] * (LUMP - len(FEW))]
    rows = [make_row(seq, user) for seq, user in enumerate(users, 1)]
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    await journal.append(rows)
    await journal._index.filled.wait()
    assert len(journal._index.shelf.runs) == 1
    await journal.close()
    return rows


def remove(directory: Path, user: str, at: int) -> None:
    """Take away one of the blocks that a user is in, by its place among them."""
    with closing(sqlite3.connect(directory / INDEX, isolation_level=None)) as db:
        found = [
            id_
            for id_, body in db.execute(
                "SELECT id, CAST(body AS BLOB) FROM blocks WHERE section = ? ORDER BY first",
                (int(Section.ROWS),),
            )
            if user in blocks.all_of(body)
        ]
        db.execute("DELETE FROM blocks WHERE id = ?", (found[at],))


async def wrong(directory: Path, rows: Sequence[Row], users: Sequence[str]) -> set[str]:
    """The users of whom a journal says anything but their rows, from either end."""
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    try:
        found = set[str]()
        for user in users:
            mine = [row for row in rows if row.user == user]
            if await journal.history(user, 0, ALL) != mine:
                found.add(user)
            if await journal.newest(user, ALL, ALL) != mine[::-1]:
                found.add(user)
        return found
    finally:
        await journal.close()


@pytest.mark.parametrize(
    ("plant", "users", "user", "at"),
    [
        (first_is_taken, FEW, FEW[20], 0),
        (all_are_taken, (MANY,), MANY, 2),
        (all_are_taken, (MANY,), MANY, 5),
        (all_are_taken, (MANY,), MANY, -2),
    ],
    ids=["the_only_one", "the_third", "one_in_the_middle", "the_last_but_one"],
)
async def test_if_bounds_are_not_compared_a_missing_block_makes_a_wrong_answer(
    directory: Path,
    rows: list[Row],
    plant: Callable[[pytest.MonkeyPatch], None],
    users: Sequence[str],
    user: str,
    at: int,
) -> None:
    with pytest.MonkeyPatch.context() as planted:
        plant(planted)
        assert await wrong(directory, rows, users) == set()  # nothing is damaged yet
    remove(directory, user, at)
    assert await wrong(directory, rows, users) == set()
    with pytest.MonkeyPatch.context() as planted:
        plant(planted)
        assert user in await wrong(directory, rows, users)
