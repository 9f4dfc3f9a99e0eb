"""What of a database's own description SQLite believes without a look, compared with ours.

A bit of it is enough for SQLite to write rows into the tree of another table, or to take the root
of the log for a page of its bookkeeping; nothing says so until it is too late. So a start looks at
it before anything is written.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from persistence.damage import MEND
from persistence.errors import Damaged
from persistence.sqlite.data_dir import DATABASE

TABLES: Final[dict[str, str]] = {
    "log": (
        "seq INTEGER key, partition INTEGER, user_id TEXT, event_id TEXT, kind TEXT, at INTEGER,"
        " notify INTEGER, body TEXT, personal TEXT, chain BLOB, proof BLOB"
    ),
    "position": "name TEXT key, seq INTEGER, checksum INTEGER",
    "snapshots": (
        "id INTEGER key, partition INTEGER, user_id TEXT, seq INTEGER, schema INTEGER, body BLOB"
    ),
    "heads": "seq INTEGER key, links BLOB",
    "archives": (
        "last INTEGER key, first INTEGER, name TEXT, blocks TEXT, moving INTEGER, checksum INTEGER"
    ),
    "losses": "first INTEGER key, last INTEGER, at INTEGER, partitions TEXT, checksum INTEGER",
}
"""The columns of each table as the migrations make it, which a test holds."""
_ROOTS: Final = "SELECT count(*) - count(DISTINCT rootpage) FROM sqlite_master WHERE rootpage > 0"


def check_structure(db: sqlite3.Connection) -> None:
    """Compare what the database says of itself with what the migrations made; some 0.1 ms.

    Raises:
        Damaged: it is something else.
        sqlite3.Error: it cannot be read.
    """
    if db.execute("PRAGMA auto_vacuum").fetchone() != (0,):
        raise _damaged("the header")
    if db.execute("PRAGMA encoding").fetchone() != ("UTF-8",):
        raise _damaged("the header")
    if db.execute(_ROOTS).fetchone() != (0,):
        raise _damaged("the schema")
    for table, columns in TABLES.items():
        if columns_of(db, table) != columns:
            raise _damaged(f"the schema of the table {table}")


def columns_of(db: sqlite3.Connection, table: str) -> str:
    """The columns of a table, each with its type and whether it is the key."""
    found = db.execute(f"PRAGMA table_info({table})")
    return ", ".join(f"{name} {kind}{' key' * key}" for _, name, kind, _, _, key in found)


def _damaged(place: str) -> Damaged:
    return Damaged(DATABASE, place, MEND)
