"""Accepted losses as the database keeps them: each has a checksum, compared when it is read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final
from zlib import crc32

from messages.subjects import PARTITIONS
from persistence.chain.losses import Loss, Losses
from persistence.damage import MEND
from persistence.errors import Damaged
from persistence.sqlite.data_dir import DATABASE

_GET: Final = "SELECT first, last, at, partitions, checksum FROM losses ORDER BY first"
_PUT: Final = "INSERT INTO losses (first, last, at, partitions, checksum) VALUES (?, ?, ?, ?, ?)"
_DIGITS: Final = PARTITIONS // 4


def losses_of(db: sqlite3.Connection) -> Losses:
    """What the log of a database has lost; nothing, if it is of before there were any.

    Raises:
        Damaged: an entry is not as it was put.
        sqlite3.Error: they cannot be read.
    """
    found: list[Loss] = []
    for one in entries_of(db):
        if isinstance(one, Damaged):
            raise one
        found.append(one)
    return Losses(found)


def entries_of(db: sqlite3.Connection) -> Iterator[Loss | Damaged]:
    """The same one by one, and what is wrong with each entry that is not as it was put.

    Raises:
        sqlite3.Error: they cannot be read.
    """
    if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'losses'").fetchone():
        for entry in db.execute(_GET):
            yield _loss(*entry)


def put_loss(db: sqlite3.Connection, loss: Loss) -> None:
    """Store a loss, within the transaction that is open."""
    partitions = f"{loss.partitions:0{_DIGITS}x}"
    entry = (loss.first, loss.last, loss.at, partitions)
    db.execute(_PUT, (*entry, _checksum(*entry)))


def _loss(
    first: object, last: object, at: object, partitions: object, checksum: object
) -> Loss | Damaged:
    fits = checksum == _checksum(first, last, at, partitions)
    if fits and isinstance(first, int) and isinstance(last, int) and isinstance(at, int):
        return Loss(first, last, at, int(str(partitions), 16))
    return Damaged(DATABASE, f"the accepted loss from row {first} on", MEND)


def _checksum(*entry: object) -> int:
    return crc32(" ".join(map(str, entry)).encode())
