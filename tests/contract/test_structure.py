"""What a database says of itself, which SQLite believes without a look."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from messages.stored.form import FORM
from persistence.errors import Refused
from persistence.sqlite import schema
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.structure import TABLES, check_structure, columns_of
from tests.support.rows import make_row

Harm = Callable[[Path], None]


def replaced(old: bytes, new: bytes) -> Harm:
    def harm(path: Path) -> None:
        content = path.read_bytes()
        assert content.count(old) == 1
        path.write_bytes(content.replace(old, new))

    return harm


def header(at: int, value: int) -> Harm:
    def harm(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[at] = value
        path.write_bytes(content)

    return harm


def same_root(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute(
            "UPDATE sqlite_master SET rootpage ="
            " (SELECT rootpage FROM sqlite_master WHERE name = 'heads') WHERE name = 'archives'"
        )
        db.commit()


HARMS: dict[str, tuple[Harm, str]] = {
    "the key of the log is no key": (
        replaced(b"seq INTEGER PRIMARY KEY,      -- p", b"seq INTEGES PRIMARY KEY,      -- p"),
        "meterd.db is damaged",
    ),
    "another type": (replaced(b"body TEXT NOT NULL", b"body REAL NOT NULL"), "of the table log"),
    "another name": (replaced(b"kind TEXT NOT", b"kinb TEXT NOT"), "of the table log"),
    "two tables in one tree": (same_root, "the schema of meterd.db"),
    "vacuumed by itself": (header(55, 1), "the header of meterd.db"),
    "another encoding": (header(59, 2), "meterd.db"),
}  # fmt: skip


def test_the_tables_are_those_that_the_migrations_make() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        schema.migrate(db, 0)
        check_structure(db)
        made = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        assert {name: columns_of(db, name) for name in made} == TABLES


@pytest.mark.parametrize("harm", HARMS)
async def test_a_start_refuses_what_would_be_written_into_the_wrong_places(
    directory: Path, harm: str
) -> None:
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.append([make_row(n) for n in range(1, 9)])
    await journal.close()
    path = directory / DATABASE
    how, why = HARMS[harm]
    how(path)
    before = path.read_bytes()
    with pytest.raises(Refused, match=why):
        await SQLiteJournal.open(directory, FORM)
    assert path.read_bytes() == before
