"""The database's identity and its numbered migrations.

``application_id`` says that a file is meterd's, ``user_version`` which migration it has
reached. Migrations are ``sql/NNN_*.sql``, applied in order, each in one transaction with the
number it reaches. A released file is never edited: a change is a new file. What is no data, views
and the condition of an index, is in no migration but in `derived`.
"""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Final

from messages.stored.form import Form
from persistence.errors import Refused
from persistence.sqlite.derived import derive
from persistence.sqlite.structure import check_structure

WRITER_CACHE_KIB: Final = 4_096
"""Rows go to the end of the log and snapshots anywhere: more would hold pages of the past."""
CHECKSUMS: Final = 9
"""From this migration on rows have checksums."""
APPLICATION_ID: Final = 0x6D747264  # "mtrd"; `file meterd.db` shows it in decimal, 1836347972


def migrations() -> list[tuple[int, str]]:
    """All migrations as (number, SQL), in order; the numbers are 1, 2, 3, ..."""
    scripts = sorted(
        (files("persistence.sqlite") / "sql").iterdir(), key=lambda script: script.name
    )
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


def version_of(db: sqlite3.Connection, path: Path, *, is_ours: bool) -> int:
    """As `check`; of a file that is known to be meterd's, the mark that says so may be damaged.

    Raises:
        Refused: as `check`.
    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application == APPLICATION_ID or not is_ours:
        return check(db, path)
    return 0


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


def prepare(db: sqlite3.Connection, path: Path, form: Form) -> None:
    """Make a database ready for its writer, or refuse it untouched.

    Raises:
        Refused: as `check`, or another program uses it.
        Damaged: as `check_structure`.
        sqlite3.Error: it cannot be made ready.
    """
    version = check(db, path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
    db.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
    db.execute("PRAGMA temp_store = MEMORY")  # rows on their way: what is erased is in no file
    configure(db)
    # After a failed fsync the kernel may call pages clean that never reached the disk: what a
    # former process left in the WAL is written, and synced, again before anything builds on it.
    uncopied = copy_wal(db, "TRUNCATE")
    if uncopied:
        raise Refused(
            f"{path} is in use by another program: its WAL cannot be copied before it ends"
        )
    migrate(db, version)
    check_structure(db)
    derive(db, form)


def configure(db: sqlite3.Connection) -> None:
    """What every connection to the log does first."""
    db.execute("PRAGMA synchronous = FULL")  # also decides how a checkpoint syncs
    db.execute("PRAGMA fullfsync = ON")  # if fsync alone does not reach the disk (macOS)
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("PRAGMA trusted_schema = OFF")


def copy_wal(db: sqlite3.Connection, mode: str) -> int:
    """Checkpoint; the pages that are still in the WAL."""
    return checkpoint(db, mode)[0]


def checkpoint(db: sqlite3.Connection, mode: str) -> tuple[int, int]:
    """Checkpoint; how many pages are in the WAL now, and how many of them are copied."""
    _, pages, copied = db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    return int(pages), int(copied)
