"""What the states of several users are made of, in one trip to the thread that reads.

Each step of a statement hands the interpreter lock back and forth, and a thread may wait
milliseconds for it while the event loop is busy. So one statement gives all that there is in
one row: SQLite works beside the loop, and the thread needs the lock for moments only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec

from messages.subjects import encode_user, partition_of
from persistence.records import Entry, Loaded, Row, Snapshot
from persistence.sqlite.checked import damaged, fits
from persistence.sqlite.connection import Connection
from persistence.sqlite.stored_rows import StoredRows

CACHE_KIB: Final = 512
"""Pages of the log and of the index in memory: users who are not live are anywhere in both, so
more of them in memory save no time."""
ONE_SNAPSHOT: Final = (
    "SELECT partition, user_id, seq, schema, body FROM snapshots"
    " WHERE partition = ? AND user_id = ?"
)
# The index is attached as `places`; what it has of a user comes before what it lacks. A user's
# id has no control characters, one of which would end it within an array of JSON. Snapshots are
# any bytes: they come one behind the other, in the order of the array, beside it.
_LOADED: Final = """
SELECT json_group_array(json_array(asked.key, kept.seq, kept.schema, length(kept.body), (
    SELECT json_group_array(json_array(log.seq, event_id, kind, at, notify, body, hex(chain),
        personal, CASE WHEN personal IS NOT NULL THEN hex(proof) END)) FROM (
        SELECT seq FROM (
            SELECT rows.seq AS seq FROM places.runs CROSS JOIN places.rows ON run = id
            WHERE last > coalesce(kept.seq, 0) AND user_id = json_extract(asked.value, '$[1]')
                AND rows.seq > coalesce(kept.seq, 0) AND rows.seq <= ?2
            ORDER BY id, rows.seq LIMIT ?3
        )
        UNION ALL
        SELECT value FROM json_each(asked.value, '$[2]') WHERE value > coalesce(kept.seq, 0)
        LIMIT ?3
    ) AS wanted CROSS JOIN log ON log.seq = wanted.seq
))), CAST(group_concat(kept.body, '') AS BLOB)
FROM json_each(?1) AS asked LEFT JOIN snapshots AS kept
    ON kept.partition = json_extract(asked.value, '$[0]')
    AND kept.user_id = json_extract(asked.value, '$[1]')
"""


class _Found(NamedTuple):
    number: int
    seq: int | None
    schema: int | None
    length: int | None
    # SQLite does not promise that what a subquery made as JSON goes into other JSON as such.
    tail: list[_Entry] | str


_Entry: TypeAlias = tuple[int, str | None, str, int, int, str, str, str | None, str | None]
"""The fields of a row but partition and user: its stamp, and the proof of what is personal, in
hexadecimal digits."""
_found: Final = msgspec.json.Decoder(list[_Found])
_tail: Final = msgspec.json.Decoder(list[_Entry])


class Asked(NamedTuple):
    """Whom to read.

    Attributes:
        users: the user ids.
        recent: positions of each user that the index does not have yet, oldest first.
        position: up to where the index has them.
        limit: how many rows of each user are read at most.
    """

    users: Sequence[str]
    recent: Sequence[Sequence[int]]
    position: int
    limit: int


async def attach(connection: Connection, index: Path) -> None:
    """Let a connection read the index as well; `detach` before the index is closed.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    await connection.call(_attach, index)


async def detach(connection: Connection) -> None:
    """Undo `attach`."""
    await connection.call(_detach)


async def load(connection: Connection, asked: Asked, stored: StoredRows) -> dict[str, Loaded]:
    """See `LogQueries.load`; raises as `Connection.ask` and `StoredRows.at`."""
    return await connection.ask(_load, asked, stored)


def _load(db: sqlite3.Connection, asked: Asked, stored: StoredRows) -> dict[str, Loaded]:
    places = [
        (partition_of(encode_user(user)), user, recent)
        for user, recent in zip(asked.users, asked.recent, strict=True)
    ]
    text = msgspec.json.encode(places).decode()
    ((text, bodies),) = db.execute(_LOADED, (text, asked.position, asked.limit))
    loaded: dict[str, Loaded] = {}
    end = 0
    for number, seq, schema, length, tail in _found.decode(text):
        partition, user, _ = places[number]
        entries = _tail.decode(tail) if isinstance(tail, str) else tail
        snapshot = None
        if seq is not None and schema is not None and length is not None:
            begin, end = end, end + length
            snapshot = Snapshot(partition, user, seq, schema, bodies[begin:end])
        loaded[user] = Loaded(snapshot, _checked(db, partition, user, entries, stored))
    return loaded


def _checked(
    db: sqlite3.Connection,
    partition: int,
    user: str,
    entries: Sequence[_Entry],
    stored: StoredRows,
) -> list[Entry]:
    """The rows of a user that are as they were written, oldest first."""
    found: list[Entry] = []
    alone: list[int] = []
    for seq, key, kind, at, notify, body, chain, personal, proof in entries:
        row = Row(seq, partition, user, key, kind, at, notify == 1, body, personal)
        random = bytes.fromhex(proof) if proof else None
        if body and fits(row, random, bytes.fromhex(chain), stored.unchecked):
            found.append((seq, kind, at, body))
        else:
            alone.append(seq)
    # Those whose body is in an archive; hardly ever: a snapshot reflects these rows. And those that
    # JSON cannot show as they are, as if a key has a NUL.
    for row in stored.at(db, alone) if alone else ():
        if row.user != user:
            raise damaged(row.seq)
        found.append((row.seq, row.kind, row.at, row.body))
    found.sort()  # they are, nearly always: but SQL promises no order
    return found


def _attach(db: sqlite3.Connection, index: Path) -> None:
    db.execute("ATTACH ? AS places", (f"{index.absolute().as_uri()}?mode=ro",))
    for name in ("main", "places"):
        db.execute(f"PRAGMA {name}.cache_size = -{CACHE_KIB}")


def _detach(db: sqlite3.Connection) -> None:
    db.execute("DETACH places")
