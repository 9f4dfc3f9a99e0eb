"""Named positions beside the log: up to where something is done. Each has a checksum."""

from __future__ import annotations

import sqlite3
from typing import Final
from zlib import crc32

from persistence.damage import MEND
from persistence.errors import Damaged
from persistence.sqlite.data_dir import DATABASE

PUBLISHED: Final = "published"
ENDS: Final = "ends"
ARCHIVED: Final = "archived"
UNCHAINED: Final = "unchained"
"""Rows up to here are older than the chain."""
UNCHECKED: Final = "unchecked"
"""Rows up to here are older than checksums."""
_GET: Final = "SELECT seq, checksum FROM position WHERE name = ?"
_PUT: Final = (
    "INSERT INTO position (name, seq, checksum) VALUES (?, ?, ?)"
    " ON CONFLICT DO UPDATE SET seq = excluded.seq, checksum = excluded.checksum"
)


def position_of(db: sqlite3.Connection, name: str) -> int:
    """A position, 0 if it was never put; one of before checksums is taken as it is.

    Raises:
        Damaged: it is not as it was put.
    """
    found = db.execute(_GET, (name,)).fetchone()
    if found is None:
        return 0
    seq, checksum = found
    if not isinstance(seq, int) or checksum not in {None, _checksum(name, seq)}:
        raise Damaged(DATABASE, f"the position {name!r}", MEND)
    return seq


def unchecked(db: sqlite3.Connection) -> int:
    """The newest position that is older than checksums.

    Raises:
        Damaged: it is not there, where a migration put it, or not as it was put.
    """
    if db.execute(_GET, (UNCHECKED,)).fetchone() is None:
        raise Damaged(DATABASE, f"the position {UNCHECKED!r}", MEND)
    return position_of(db, UNCHECKED)


def put_position(db: sqlite3.Connection, name: str, seq: int) -> None:
    """Put a position, within the transaction that is open if there is one."""
    db.execute(_PUT, (name, seq, _checksum(name, seq)))


def _checksum(name: str, seq: int) -> int:
    return crc32(f"{name} {seq}".encode())
