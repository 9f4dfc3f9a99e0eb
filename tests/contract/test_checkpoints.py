"""The WAL while a reader keeps a transaction open, and when it is gone."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from persistence.sqlite import checkpoints
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.schema import checkpoint
from tests.support.rows import make_row

WAIT_S = 60.0
LARGE = 100
LARGE_BYTES = LARGE * checkpoints.PAGE_BYTES


class Said:
    """In place of the log: what was said, to be waited for."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self._more = asyncio.Event()

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))
        self._more.set()

    warning = info

    async def line(self, count: int) -> tuple[str, dict[str, Any]]:
        while len(self.lines) < count:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), WAIT_S)
        return self.lines[count - 1]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    said = Said()
    monkeypatch.setattr(checkpoints, "_log", said)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_PAGES", 4)
    monkeypatch.setattr(checkpoints, "WAL_PAGES_MAX", 20)
    monkeypatch.setattr(checkpoints, "LARGE_PAGES", LARGE)
    monkeypatch.setattr(checkpoints, "LOOK_S", 0.01)
    return said


@pytest.fixture
def wal(directory: Path) -> Path:
    return directory / "meterd.db-wal"


async def grow(journal: SQLiteJournal, wal: Path, wanted: int) -> None:
    """Write until the file has so many bytes."""
    seq = await journal.last_seq()
    while size(wal) < wanted:
        seq += 1
        await journal.append([make_row(seq, body="x" * 4 * checkpoints.PAGE_BYTES)])


def size(path: Path) -> int:
    return path.stat().st_size


def begin(db: sqlite3.Connection) -> None:
    db.execute("BEGIN")
    db.execute("SELECT count(*) FROM log").fetchone()


async def test_a_reader_that_forgets_its_transaction_is_warned_of_and_the_file_cut_behind_it(
    sqlite_journal: SQLiteJournal, said: Said, outside: sqlite3.Connection, wal: Path
) -> None:
    await sqlite_journal.append([make_row(1)])
    begin(outside)
    await grow(sqlite_journal, wal, LARGE_BYTES * 5 // 4)
    event, fields = await said.line(1)
    assert event == "journal_wal_held"
    assert fields["file"] == str(wal)
    assert fields["bytes"] > LARGE_BYTES
    assert "keeps a transaction open" in fields["cause"]

    outside.execute("ROLLBACK")
    event, fields = await said.line(2)  # though nothing is written any more
    assert (event, fields) == ("journal_wal_cut", {"file": str(wal)})
    assert size(wal) == 0
    last = await sqlite_journal.last_seq()
    await sqlite_journal.append([make_row(last + 1)])
    assert len(await sqlite_journal.rows(0, 1_000)) == last + 1


async def test_the_warning_comes_again_only_when_the_file_has_twice_the_size(
    sqlite_journal: SQLiteJournal, said: Said, outside: sqlite3.Connection, wal: Path
) -> None:
    await sqlite_journal.append([make_row(1)])
    begin(outside)
    wanted = LARGE_BYTES * 5 // 4
    for count in range(1, 4):
        await grow(sqlite_journal, wal, wanted)
        _, fields = await said.line(count)
        wanted = 2 * fields["bytes"]
    sizes = [fields["bytes"] for _, fields in said.lines]
    assert all(later >= 2 * earlier for earlier, later in pairwise(sizes))
    outside.execute("ROLLBACK")
    assert (await said.line(4))[0] == "journal_wal_cut"


def test_the_file_is_cut_at_once_or_not_at_all(tmp_path: Path) -> None:
    with ExitStack() as stack:
        writer, reader = (
            stack.enter_context(closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)))
            for _ in range(2)
        )
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE log (n)")
        begin(reader)  # it reads the WAL to its end, so that all of it can be copied
        assert checkpoint(writer, "PASSIVE") == (2, 2)
        statements = list[str]()
        writer.set_trace_callback(statements.append)
        assert not checkpoints._cut(writer)
        assert statements[0] == "PRAGMA busy_timeout = 0", "who waits keeps writes waiting"
        assert writer.execute("PRAGMA busy_timeout").fetchone() == (5_000,)
        writer.execute("INSERT INTO log VALUES (1)")
        reader.execute("ROLLBACK")
        assert checkpoints._cut(writer)
        assert size(tmp_path / "a.db-wal") == 0
