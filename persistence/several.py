"""What is read of several users at once: a query for each, and one hop to the thread for all."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from messages.subjects import encode_user, partition_of
from persistence.connection import Connection, read_error
from persistence.journal import Snapshot

ONE_SNAPSHOT: Final = (
    "SELECT partition, user_id, seq, schema, body FROM snapshots"
    " WHERE partition = ? AND user_id = ?"
)
BEHIND: Final = (
    "SELECT seq FROM runs CROSS JOIN rows ON run = id WHERE last > ?2 AND user_id = ?1"
    " AND seq > ?2 AND seq <= ?3 ORDER BY id, seq LIMIT ?4"
)


async def snapshots_of(connection: Connection, users: Sequence[str]) -> dict[str, Snapshot]:
    """The snapshots of these users, by user; raises as `Connection.read`."""
    places = [(partition_of(encode_user(user)), user) for user in users]
    found = await _each(connection, ONE_SNAPSHOT, places)
    return {row[1]: Snapshot(*row) for rows in found for row in rows}


async def positions_of(
    connection: Connection, wanted: Sequence[tuple[str, int, int, int]]
) -> list[list[int]]:
    """Positions of a log index for each (user, after, last, limit); raises as `Connection.read`."""
    return [[seq for (seq,) in rows] for rows in await _each(connection, BEHIND, wanted)]


async def _each(
    connection: Connection, query: str, args: Sequence[tuple[object, ...]]
) -> list[list[tuple[Any, ...]]]:
    """The rows of a query for each of several arguments."""
    try:
        return await connection.call(_fetch_each, query, args)
    except (sqlite3.Error, ValueError) as error:  # ValueError: the connection is closed
        raise read_error(error) from error


def _fetch_each(
    db: sqlite3.Connection, query: str, args: Sequence[tuple[object, ...]]
) -> list[list[tuple[Any, ...]]]:
    return [db.execute(query, one).fetchall() for one in args]
