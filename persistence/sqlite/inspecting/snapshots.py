"""The table of snapshots: by its index, and if that cannot be read, row by row."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from messages.subjects import encode_user, partition_of
from persistence.records import Snapshot
from persistence.sqlite.connection import is_unread
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.inspecting.fault import NOTHING_SERVES, USERS_MAX, Fault
from persistence.sqlite.inspecting.tables import Unreadable, rows_of

_MOST: Final = (1 << 63) - 1
_WHOSE: Final = (
    "SELECT user_id FROM snapshots INDEXED BY sqlite_autoindex_snapshots_1"
    " WHERE partition >= 0 AND id > ? AND id < ? LIMIT ?"
)
_FIELDS: Final = "partition, user_id, seq, schema, body"


def read_snapshots(db: sqlite3.Connection, partitions: range) -> dict[str, Snapshot]:
    """The snapshots of some partitions, which follow each other, by user; as far as they are read.

    Raises:
        sqlite3.Error: they cannot be read, for another reason than damage.
    """
    where = f"partition BETWEEN {partitions.start} AND {partitions.stop - 1}"
    try:
        found = db.execute(f"SELECT {_FIELDS} FROM snapshots WHERE {where}").fetchall()  # noqa: S608 -- numbers
        return {row[1]: Snapshot(*row) for row in found}
    except sqlite3.Error as error:
        if not is_unread(error):
            raise
    kept = rows_of(db, "snapshots NOT INDEXED", "id", _FIELDS, where)
    return {row[1]: Snapshot(*row) for row in kept if not isinstance(row, Unreadable)}


def check_snapshots(db: sqlite3.Connection) -> list[Fault]:
    """Snapshots that cannot be read, or are of nobody; raises as `read_snapshots`."""
    faults = list[Fault]()
    looked = rows_of(
        db, "snapshots NOT INDEXED", "id", "id, partition, user_id, typeof(body), body"
    )
    for one in looked:
        if isinstance(one, Unreadable):
            place, why, users = _between(one), "it cannot be read", _users(db, one)
        elif _belongs(*one[1:]):
            continue
        else:
            place, why = f"the snapshot of {one[2]}", "it is not as it was written"
            users = (str(one[2]),)
        faults.append(
            Fault("snapshot", DATABASE, place, why, NOTHING_SERVES, derived=True, users=users)
        )
    return faults


def _users(db: sqlite3.Connection, gap: Unreadable) -> tuple[str, ...]:
    """Whose they are, as the table's index says."""
    below = _MOST if gap.below is None else gap.below
    try:
        found = db.execute(_WHOSE, (gap.above, below, USERS_MAX)).fetchall()
    except sqlite3.Error as error:
        if not is_unread(error):
            raise
        return ()
    return tuple([user for (user,) in found if isinstance(user, str)])


def _between(gap: Unreadable) -> str:
    if gap.below == gap.above + 2:
        return f"row {gap.above + 1} of the table snapshots"
    upto = "its end" if gap.below is None else f"row {gap.below - 1}"
    return f"rows {gap.above + 1} to {upto} of the table snapshots"


def _belongs(partition: object, user: Any, kind: object, _: object) -> bool:
    try:
        return kind == "blob" and partition_of(encode_user(user)) == partition
    except (AttributeError, TypeError, ValueError):
        return False
