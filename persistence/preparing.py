"""How a database is made ready for its journal, and its WAL copied into it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from persistence import schema
from persistence.appending import newest_heads
from persistence.errors import Refused

WRITER_CACHE_KIB: Final = 4_096
"""Rows go to the end of the log and snapshots anywhere: more would hold pages of the past."""


def prepare(db: sqlite3.Connection, path: Path) -> list[bytes]:
    """Make a database ready for its writer, or refuse it untouched; the chain's newest links."""
    version = schema.check(db, path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
    db.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
    db.execute("PRAGMA temp_store = MEMORY")  # rows on their way: what is erased is in no file
    configure(db)
    # After a failed fsync the kernel may call pages clean that never reached the disk: what a
    # former process left in the WAL is written, and synced, again before anything builds on it.
    uncopied = copy_wal(db, "TRUNCATE")
    if uncopied:
        raise Refused(f"{path} is being read by another program: its WAL cannot be copied")
    schema.migrate(db, version)
    return newest_heads(db)


def configure(db: sqlite3.Connection) -> None:
    """What every connection to the log does first."""
    db.execute("PRAGMA synchronous = FULL")  # also decides how a checkpoint syncs
    db.execute("PRAGMA fullfsync = ON")  # where fsync alone does not reach the disk (macOS)
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("PRAGMA trusted_schema = OFF")


def copy_wal(db: sqlite3.Connection, mode: str) -> int:
    """Checkpoint; the pages that are still in the WAL."""
    _, pages, _ = db.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    return int(pages)
