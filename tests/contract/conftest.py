"""Journals of every implementation, and a second look at the database of SQLite's."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from messages.stored.form import FORM
from persistence.journal import Journal
from persistence.memory import MemoryJournal
from persistence.sqlite.journal import SQLiteJournal
from tests.support.faults import FaultyJournal
from tests.support.mending import Fresh, Made, make

IMPLEMENTATIONS = ("memory", "faulty", "sqlite", "sqlite on the loop", "sqlite in lumps of 3")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def random_() -> random.Random:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.fixture(params=IMPLEMENTATIONS)
async def journal(request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[Journal]:
    """An empty journal of each implementation; a suite is of one of its ports."""
    journal = await opened(request.param, directory)
    yield journal
    await journal.close()


async def opened(how: str, directory: Path) -> Journal:
    kind, _, lump_rows = how.partition(" in lumps of ")
    if kind == "memory":
        return MemoryJournal(FORM)
    if kind == "faulty":
        return FaultyJournal(MemoryJournal(FORM))
    if lump_rows:
        return await SQLiteJournal.open(directory, FORM, lump_rows=int(lump_rows))
    ticks = (lambda: 0) if kind == "sqlite on the loop" else None
    return await SQLiteJournal.open(directory, FORM, ticks=ticks)


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


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A log in which everything occurs, and its backups; nobody changes it."""
    return asyncio.run(make(tmp_path_factory.mktemp("mending")))


@pytest.fixture
def fresh(tmp_path: Path) -> Fresh:
    """Copies a directory to where it may be damaged, over what was there."""

    def copied(source: Path) -> Path:
        target = tmp_path / "data"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        return target

    return copied
