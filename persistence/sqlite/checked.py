"""Rows of the log in its order, for whoever has to read all of them."""

from __future__ import annotations

import sqlite3

from persistence.records import Row
from persistence.sqlite.insert import COLUMNS


def rows_between(db: sqlite3.Connection, after: int, limit: int, table: str = "log") -> list[Row]:
    """The first rows behind a position, in order, at most ``limit``.

    Raises:
        Damaged: one is not as it was written, or is missing.
        sqlite3.Error: the log cannot be read.
    """
    found = db.execute(
        f"SELECT {COLUMNS} FROM {table} WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608 -- a name of this layer
        (after, limit),
    ).fetchall()
    return [
        Row(seq, partition, user, key, kind, at, notify == 1, body, personal)
        for seq, partition, user, key, kind, at, notify, body, personal in found
    ]
