"""The file of the index: its tables, and how a lump of the log gets into them."""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

import structlog

from persistence.errors import Corrupt
from persistence.sqlite.connection import Connection
from persistence.sqlite.endings import Endings
from persistence.sqlite.malloc import give_back
from persistence.sqlite.provenance import anchor_at

INDEX: Final = "index.db"
VERSION: Final = 3
CACHE_KIB: Final = 4_096
"""A fill goes through pages in order, so that more of them in memory save no time: what is
sorted beyond them goes through a file of SQLite's own, and the kernel has the users' pages."""
_LOG: Final = "log.log"  # the log in the database that is attached


# A run is a lump, sorted: it goes behind all others, so a fill writes pages in order whatever
# users and keys there are. Runs follow each other in the log too.
_SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE runs (id INTEGER PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE rows (run INTEGER, user_id TEXT, seq INTEGER,
    PRIMARY KEY (run, user_id, seq)) WITHOUT ROWID;
CREATE TABLE keys (run INTEGER, user_id TEXT, event_id TEXT, seq INTEGER,
    PRIMARY KEY (run, user_id, event_id, seq)) WITHOUT ROWID;
CREATE TABLE ends (run INTEGER, user_id TEXT, event_id TEXT, seq INTEGER,
    PRIMARY KEY (run, user_id, event_id, seq)) WITHOUT ROWID;
CREATE TABLE users (user_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE position (seq INTEGER NOT NULL, anchor TEXT NOT NULL);
INSERT INTO position VALUES (0, '');
PRAGMA user_version = 3;
COMMIT;
"""

_log = structlog.get_logger(__name__)


async def open_filler(path: Path, log: Path) -> Connection:
    """The connection that fills the file, which is made anew if it cannot be used."""
    if path.exists():  # noqa: ASYNC240 -- at start, before anything else runs
        async with AsyncExitStack() as files:  # a connection that is left keeps the process alive
            filler = await Connection.open(path)
            files.push_async_callback(filler.close)
            try:
                await filler.call(_prepare, log)
                if await filler.call(_belongs):
                    files.pop_all()
                    return filler
                _log.warning("index_made_anew", reason="it is of another version or another log")
            except sqlite3.DatabaseError as error:
                _log.warning("index_made_anew", reason=str(error))
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).unlink()
    path.touch(mode=0o600)  # noqa: ASYNC240 -- as above
    async with AsyncExitStack() as files:
        filler = await Connection.open(path)
        files.push_async_callback(filler.close)
        await filler.call(_prepare, log)
        await filler.call(_make)
        files.pop_all()
    return filler


def _prepare(db: sqlite3.Connection, log: Path) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    # It may lose its last lumps with the power, never its order: position and rows go together.
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    db.execute("ATTACH ? AS log", (f"{log.absolute().as_uri()}?mode=ro",))


def _make(db: sqlite3.Connection) -> None:
    db.executescript(_SCHEMA)


def _belongs(db: sqlite3.Connection) -> bool:
    """Whether the file is of this version and was filled from this log."""
    if db.execute("PRAGMA user_version").fetchone() != (VERSION,):
        return False
    seq, anchor = db.execute("SELECT seq, anchor FROM position").fetchone()
    return bool(anchor_at(db, seq, _LOG) == anchor)


def filled_to(db: sqlite3.Connection) -> int:
    """Up to where the file has the rows of the log."""
    (position,) = db.execute("SELECT seq FROM position").fetchone()
    return int(position)


def beyond(
    db: sqlite3.Connection, after: int, limit: int
) -> list[tuple[int, int, str, str | None]]:
    """The first four fields of the rows of the log after a position.

    Raises:
        sqlite3.DatabaseError: a row is damaged.
    """
    rows = db.execute(
        "SELECT seq, partition, user_id, event_id FROM log.log WHERE seq > ? ORDER BY seq LIMIT ?",
        (after, limit),
    ).fetchall()
    for seq, _, user, key in rows:
        # What a page holds may be a page all the same, and a row of it of other types.
        if not isinstance(user, str) or not (key is None or isinstance(key, str)):
            raise sqlite3.DatabaseError(f"row {seq} of the log is damaged")
    return rows


def fill(db: sqlite3.Connection, endings: Endings, after: int, last: int) -> None:
    """Take in the rows of the log after ``after`` up to ``last``, as one run."""
    db.execute("BEGIN IMMEDIATE")
    if filled_to(db) >= last:  # by one whose caller did not wait for it
        db.execute("COMMIT")
        return
    (run,) = db.execute("SELECT coalesce(max(id), 0) + 1 FROM runs").fetchone()
    db.execute("INSERT INTO runs VALUES (?, ?)", (run, last))
    db.execute(
        "INSERT INTO rows SELECT ?, user_id, seq FROM log.log"
        " WHERE seq > ? AND seq <= ? ORDER BY user_id, seq",
        (run, after, last),
    )
    db.execute(
        "INSERT INTO keys SELECT ?, user_id, event_id, seq FROM log.log"
        " WHERE seq > ? AND seq <= ? AND event_id IS NOT NULL ORDER BY user_id, event_id, seq",
        (run, after, last),
    )
    endings.put(db, run, after, last)
    db.execute(
        "INSERT OR IGNORE INTO users"
        " SELECT DISTINCT user_id FROM rows WHERE run = ? ORDER BY user_id",
        (run,),
    )
    anchor = anchor_at(db, last, _LOG)
    if anchor is None:
        raise Corrupt(f"row {last} is not in the log")
    db.execute("UPDATE position SET seq = ?, anchor = ?", (last, anchor))
    db.execute("COMMIT")
    db.execute("PRAGMA shrink_memory")  # the next lump is behind all pages that it has
    give_back()  # these, and what the lump's positions took
