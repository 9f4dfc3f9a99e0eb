"""The file of the index: its tables, how it is opened, and how a run gets into it.

SQLite is a container here: what is read of the file is checked before it is believed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from messages.stored.form import Form
from persistence.sqlite.blocks import Run, run_checksum
from persistence.sqlite.connection import Connection, is_unread
from persistence.sqlite.index_fill import put, put_filter
from persistence.sqlite.malloc import give_back
from persistence.sqlite.recent import RecentPositions
from persistence.sqlite.user_filter import BYTES_MAX, UserFilter, filter_of

INDEX: Final = "index.db"
VERSION: Final = 4
CACHE_KIB: Final = 1_024
"""A fill goes through pages in order, so that more of them in memory save no time."""

# Runs follow each other, in the file as in the log, so a fill writes pages in order whatever
# users and keys there are. Blocks are too long to be in a tree by their bounds themselves, which
# would be as deep as they are long.
SCHEMA: Final = """
BEGIN IMMEDIATE;
CREATE TABLE runs (id INTEGER PRIMARY KEY, after INTEGER NOT NULL, last INTEGER NOT NULL,
    checksum INTEGER NOT NULL);
CREATE TABLE blocks (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, section INTEGER NOT NULL,
    first TEXT NOT NULL, next TEXT NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE UNIQUE INDEX blocks_in_order ON blocks (run, section, first);
CREATE TABLE filters (run INTEGER PRIMARY KEY, body BLOB NOT NULL, checksum INTEGER NOT NULL);
CREATE TABLE position (seq INTEGER NOT NULL, anchor TEXT NOT NULL, form TEXT NOT NULL,
    file INTEGER NOT NULL, checksum INTEGER NOT NULL);
INSERT INTO position VALUES (0, '', '', abs(random() % 9007199254740992), 0);
PRAGMA user_version = 4;
COMMIT;
"""
_PUT_POSITION: Final = "UPDATE position SET seq = ?, anchor = ?, form = ?, file = ?, checksum = ?"


class Unusable(Exception):
    """The file is not one of this version, log and form, or is damaged; the message says why."""


class Held(NamedTuple):
    """What a file has.

    Attributes:
        runs: from the log's first row on, each behind the one before.
        file: marks the file.
        anchor: what marks the row at the end of the last run, as `provenance.anchor_at`.
    """

    runs: list[Run]
    file: int
    anchor: str

    @property
    def last(self) -> int:
        """Up to where the file has the rows of the log."""
        return self.runs[-1].last if self.runs else 0


def form_of(form: Form) -> str:
    """What decides on which rows are in which section, as text."""
    said = [sorted(form.common()), [*form.ending[:3], form.ending.says, form.ending.ended]]
    return msgspec.json.encode([*said, [form.span.opens, form.span.end]]).decode()


async def open_filler(path: Path) -> Connection:
    """The connection that fills a file, which is made if it is not there.

    Raises:
        sqlite3.Error: it cannot be opened or made.
    """
    path.touch(mode=0o600)  # noqa: ASYNC240 -- at once
    async with AsyncExitStack() as files:  # a connection that is left keeps the process alive
        filler = await Connection.open(path)
        files.push_async_callback(filler.close)
        await filler.call(_prepare)
        files.pop_all()
    return filler


def remove(path: Path) -> None:
    """Remove a file of the index."""
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


def _prepare(db: sqlite3.Connection) -> None:
    empty = db.execute("PRAGMA page_count").fetchone() == (0,)
    db.execute("PRAGMA journal_mode = WAL")
    # It may lose its last lumps with the power, never its order: position and rows go together.
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    if empty:
        db.executescript(SCHEMA)


def held(db: sqlite3.Connection, form: Form) -> Held:
    """What a file has, if all of that fits itself; whether it fits the log is not looked at.

    Raises:
        Unusable: it does not.
        sqlite3.Error: it cannot be read.
    """
    if db.execute("PRAGMA user_version").fetchone() != (VERSION,):
        raise Unusable("it is of another version")
    ((*said, check),) = db.execute("SELECT seq, anchor, form, file, checksum FROM position")
    seq, anchor, text, file = said
    stored = db.execute("SELECT id, after, last, checksum FROM runs ORDER BY id").fetchall()
    runs = [Run(run, after, last, file) for run, after, last, _ in stored]
    checks = [check for *_, check in stored]
    if not runs and seq == 0:
        return Held([], file, "")
    fits = check == _checksum(*said) and checks == [run_checksum(run) for run in runs]
    ends = [0, *(run.last for run in runs)]
    follow = [(run.id, run.after) for run in runs] == list(enumerate(ends[:-1], 1))
    if not fits or not follow or ends[-1] != seq:
        raise Unusable("it is damaged")
    if not _serves(text, form):
        raise Unusable("other kinds of rows are rare now")
    return Held(runs, file, anchor)


def _serves(text: str, form: Form) -> bool:
    """Whether what was rare when a file was filled is all that is rare now."""
    common, *others = msgspec.json.decode(text)
    now, *others_now = msgspec.json.decode(form_of(form))
    return set(common) <= set(now) and others == others_now


def stored_filter(db: sqlite3.Connection, run: Run) -> UserFilter | None:
    """The filter of a run's users, None if it is missing or not as it was written.

    Raises:
        sqlite3.Error: it cannot be read, for another reason than damage.
    """
    try:
        found = db.execute("SELECT body, checksum FROM filters WHERE run = ?", (run.id,)).fetchone()
    except sqlite3.Error as error:
        if not is_unread(error):
            raise
        return None
    return None if found is None else filter_of(run, *found)


def stored_filters(
    db: sqlite3.Connection, runs: Sequence[Run]
) -> tuple[dict[int, UserFilter], list[Run]]:
    """The filters of the newest runs, as many as are kept in memory, and runs of which it is lost.

    Raises as `stored_filter`.
    """
    found, lost, left = dict[int, UserFilter](), list[Run](), BYTES_MAX
    for run in reversed(runs):
        filter_ = stored_filter(db, run)
        if filter_ is None:
            lost.append(run)
            continue
        left -= filter_.size
        if left < 0:
            break
        found[run.id] = filter_
    return dict(reversed(found.items())), lost


def fill(db: sqlite3.Connection, run: Run, tail: RecentPositions, form: Form) -> UserFilter | None:
    """Take in a lump, which is not added to meanwhile, as one run; the filter of its users."""
    db.execute("BEGIN IMMEDIATE")
    if db.execute("SELECT 1 FROM runs WHERE id = ?", (run.id,)).fetchone():
        db.execute("COMMIT")  # by one whose caller did not wait for it
        return stored_filter(db, run)
    put(db, run, tail)
    put_filter(db, run, tail)
    db.execute("INSERT INTO runs VALUES (?, ?, ?, ?)", (*run[:3], run_checksum(run)))
    said = (run.last, tail.anchor, form_of(form), run.file)
    db.execute(_PUT_POSITION, (*said, _checksum(*said)))
    db.execute("COMMIT")
    db.execute("PRAGMA shrink_memory")  # the next lump is behind all pages that it has
    give_back()  # these, and what the lump's positions took
    return stored_filter(db, run)


def _checksum(seq: int, anchor: str, form: str, file: int) -> int:
    return crc32(repr((seq, anchor, form, file)).encode())
