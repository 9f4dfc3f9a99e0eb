"""The database's identity and its numbered migrations.

``application_id`` says that a file is meterd's, ``user_version`` which migration it has
reached. Migrations are ``sql/NNN_*.sql``, applied in order, each in one transaction with the
number it reaches. A released file is never edited: a change is a new file.
"""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Final

from persistence.errors import Refused

APPLICATION_ID: Final = 0x6D747264  # "mtrd"; `file meterd.db` shows it in decimal, 1836347972


def migrations() -> list[tuple[int, str]]:
    """All migrations as (number, SQL), in order; the numbers are 1, 2, 3, ..."""
    scripts = sorted((files("persistence") / "sql").iterdir(), key=lambda script: script.name)
    return [(int(script.name[:3]), script.read_text("utf-8")) for script in scripts]


def check(db: sqlite3.Connection, path: Path) -> int:
    """The migration that a database has reached, 0 for an empty one. Changes nothing.

    Raises:
        Refused: not meterd's, or written by a newer meterd.
    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise Refused(f"{path} is another program's database")
    newest = len(migrations())
    if version > newest:
        raise Refused(
            f"{path} was written by a newer meterd: its schema is {version}, known is {newest}"
        )
    return int(version)


def last_seq(db: sqlite3.Connection, path: Path) -> int:
    """The newest position of a log of any version, 0 without rows. Changes nothing.

    Raises:
        Refused: as `check`.
    """
    if not check(db, path):
        return 0
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()
    return int(last)


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Apply what comes after ``version``.

    The connection is in autocommit mode (``isolation_level=None``).

    Raises:
        sqlite3.Error: a migration failed; those before it are applied, it is not.
    """
    for number, script in migrations()[version:]:
        try:
            # One script, since executescript commits whatever is open before it.
            db.executescript(
                f"BEGIN IMMEDIATE; {script}"
                f"; PRAGMA application_id = {APPLICATION_ID}"
                f"; PRAGMA user_version = {number}; COMMIT;"
            )
        except sqlite3.Error:
            db.rollback()
            raise
