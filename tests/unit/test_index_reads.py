"""A block of the index is believed only of what its bounds say that it has."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from messages.stored.form import FORM
from persistence.sqlite.blocks import Run, bound
from persistence.sqlite.index_file import SCHEMA
from persistence.sqlite.index_fill import put
from persistence.sqlite.index_reads import read_ones
from persistence.sqlite.recent import RecentPositions
from persistence.sqlite.sections import Section
from tests.support.rows import make_row

RUN = Run(1, 0, 300, 7)


@pytest.fixture
def file() -> Iterator[sqlite3.Connection]:
    tail = RecentPositions(FORM)
    tail.add([make_row(seq, f"user-{seq:03}") for seq in range(1, 301)])
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.executescript(SCHEMA)
        put(db, RUN, tail)
        yield db


@pytest.mark.parametrize("newest", [False, True])
def test_what_a_missing_block_had_is_damaged_and_not_missing(
    file: sqlite3.Connection, newest: bool
) -> None:
    blocks = "SELECT id, first, next FROM blocks WHERE section = 1 ORDER BY first"
    _, (gone, low, high), *_ = file.execute(blocks).fetchall()
    bounds = [bound(f"user-{seq:03}") for seq in range(1, 301)]

    def read() -> list[bool]:
        found = [read_ones(file, Section.ROWS, [RUN], [at], newest=newest) for at in bounds]
        return [one is None for (one,) in found]

    assert not any(read())
    file.execute("DELETE FROM blocks WHERE id = ?", (gone,))
    had = [low < at <= high if newest else low <= at < high for at in bounds]
    assert read() == had
    assert 1 < sum(had) < len(had)
