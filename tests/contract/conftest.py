"""The SQLite journal of a test's own directory, and a second look at its database."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from messages.stored.form import FORM
from persistence.sqlite.journal import SQLiteJournal


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def sqlite_journal(directory: Path) -> AsyncIterator[SQLiteJournal]:
    journal = await SQLiteJournal.open(directory, FORM)
    yield journal
    await journal.close()


@pytest.fixture
def outside(sqlite_journal: SQLiteJournal, directory: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the open database."""
    with closing(sqlite3.connect(directory / "meterd.db", isolation_level=None)) as db:
        yield db
