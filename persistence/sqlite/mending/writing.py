"""The new database of a mended log: its rows as they are, and what stands beside them made anew."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from persistence.archive.entries import FIELDS as ENTRY
from persistence.archive.entries import ArchiveEntry, checksum_of
from persistence.chain.losses import Loss
from persistence.errors import Refused
from persistence.fsync import sync
from persistence.records import Snapshot
from persistence.sqlite import schema
from persistence.sqlite.checked import FIELDS
from persistence.sqlite.heads import put_heads
from persistence.sqlite.insert import HEADS_EVERY
from persistence.sqlite.losses import put_loss
from persistence.sqlite.mending.candidates import Candidate
from persistence.sqlite.mending.sources import Begin
from persistence.sqlite.positions import UNCHAINED, UNCHECKED, put_position

_ROWS_AT_ONCE: Final = 1_000
_PUT_ROW: Final = f"INSERT INTO log ({FIELDS}) VALUES ({', '.join('?' * 11)})"  # noqa: S608 -- text of this module
_PUT_ENTRY: Final = f"INSERT INTO archives ({ENTRY}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608 -- of a module
_PUT_SNAPSHOT: Final = (
    "INSERT INTO snapshots (partition, user_id, seq, schema, body) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET seq = excluded.seq, schema = excluded.schema, body = excluded.body"
    " WHERE excluded.seq > seq"
)


class Contents(NamedTuple):
    """What a new database gets beside its rows, once these are written.

    Attributes:
        begin: where the links of single rows begin.
        links: what the first of them build on.
        unchained: rows up to here have no link.
        archives: of the files that belong to it.
        snapshots: of any users, of which the newest counts; those of the future are left out.
        positions: others, by name.
        unchecked: gives the newest row without a checksum.
        losses: gives what is lost.
    """

    begin: Begin
    links: list[bytes]
    unchained: int
    archives: Iterable[ArchiveEntry]
    snapshots: Iterable[Snapshot]
    positions: dict[str, int]
    unchecked: Callable[[], int]
    losses: Callable[[], Iterable[Loss]]


def write(path: Path, rows: Iterator[Candidate], contents: Contents) -> None:
    """Write a database; it is on the disk then.

    Args:
        path: the file, which is written over.
        rows: in order.
        contents: see there.

    Raises:
        Refused: it cannot be written.
        OSError: another file, out of which it is made, cannot be read.
    """
    try:
        path.unlink(missing_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = OFF")  # what is not finished is of no use
            db.execute("PRAGMA synchronous = OFF")
            schema.migrate(db, 0)
            db.execute("BEGIN")
            _fill(db, rows, contents)
            db.execute("COMMIT")
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise Refused(f"{path} is damaged while it is written: {found.splitlines()[0]}")
        sync(path)
    except sqlite3.Error as error:
        raise Refused(f"{path} cannot be written: {error}") from error
    except OSError as error:
        if error.filename not in {None, str(path)}:
            raise
        raise Refused(f"{path} cannot be written: {error.strerror}") from error


def _fill(db: sqlite3.Connection, rows: Iterator[Candidate], contents: Contents) -> None:
    begin, heads = contents.begin, list(contents.links)
    db.execute("DELETE FROM heads")  # that of an empty log
    db.execute("INSERT INTO heads (seq, links) VALUES (?, ?)", begin)
    last = 0
    while lump := list(islice(rows, _ROWS_AT_ONCE)):
        db.executemany(_PUT_ROW, [one.fields() for one in lump])
        for one in lump:
            last = one.row.seq
            if last > begin.seq:
                heads[one.row.partition] = one.link
                if last % HEADS_EVERY == 0:
                    put_heads(db, last, heads)
    losses = [*contents.losses()]
    for loss in losses:
        put_loss(db, loss)
    end = max([last, *(loss.last for loss in losses)])
    db.executemany(_PUT_ENTRY, [(*one, checksum_of(one)) for one in contents.archives])
    db.executemany(_PUT_SNAPSHOT, (one for one in contents.snapshots if one.seq <= end))
    positions = {UNCHAINED: contents.unchained, UNCHECKED: contents.unchecked()}
    for name, seq in (contents.positions | positions).items():
        put_position(db, name, seq)
