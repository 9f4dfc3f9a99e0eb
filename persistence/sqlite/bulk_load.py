"""What the states of several users are made of, in one trip to the thread that reads.

Each step of a statement hands the interpreter lock back and forth, and a thread may wait
milliseconds for it while the event loop is busy. So three statements give all that there is, in
one row each: the snapshots, the blocks of the index, which are checked, and the rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from messages.subjects import encode_user, partition_of
from persistence.archive.lookup import Archives
from persistence.records import Entry, Loaded, Snapshot
from persistence.sqlite.blocks import Run, behind, bound, numbers_of
from persistence.sqlite.connection import Connection, as_array, read_error
from persistence.sqlite.index_reads import ASKS_AT_ONCE, PLACES, Ask, read
from persistence.sqlite.sections import Section

CACHE_KIB: Final = 512
"""Pages of the log and of the index in memory: users who are not live are anywhere in both, so
more of them in memory save no time."""
ONE_SNAPSHOT: Final = (
    "SELECT partition, user_id, seq, schema, body FROM snapshots"
    " WHERE partition = ? AND user_id = ?"
)
# Snapshots are any bytes: they come one behind the other, in the order of the array, beside it.
_SNAPSHOTS: Final = """
SELECT json_group_array(json_array(asked.key, kept.seq, kept.schema, length(kept.body))),
    CAST(group_concat(kept.body, '') AS BLOB)
FROM json_each(?) AS asked CROSS JOIN snapshots AS kept
    ON kept.partition = json_extract(asked.value, '$[0]')
    AND kept.user_id = json_extract(asked.value, '$[1]')
"""
_ROWS: Final = """
SELECT json_group_array(json_array(log.seq, kind, at, body))
FROM json_each(?) AS wanted CROSS JOIN log ON log.seq = wanted.value
"""
_BLOCKS: Final = 3
"""Blocks of the index that are read of each user and run; more are hardly ever needed."""


class _Kept(NamedTuple):
    number: int
    seq: int
    schema: int
    length: int


_kept: Final = msgspec.json.Decoder(list[_Kept])
_entries: Final = msgspec.json.Decoder(list[Entry])


class Asked(NamedTuple):
    """Whom to read.

    Attributes:
        users: the user ids.
        recent: positions of each user that are in no run, oldest first.
        runs: the runs of the index, oldest first.
        lost: those of them that are damaged, by number.
        limit: how many rows of each user are read at most.
    """

    users: Sequence[str]
    recent: Sequence[Sequence[int]]
    runs: Sequence[Run]
    lost: AbstractSet[int]
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


async def load(
    connection: Connection, asked: Asked, archives: Archives
) -> tuple[dict[str, Loaded], list[Run]]:
    """See `LogQueries.load`: without users of whom a run has something and is damaged.

    Raises as `Connection.read` and `Archives.bodies`.

    Returns:
        What was loaded, and the runs that turned out to be damaged.
    """
    try:
        loaded, lost = await connection.ask(_load, asked)
    except ValueError as error:  # DecodeError is one
        raise read_error(error) from error
    for _, tail in loaded.values():
        if tail and tail[0][0] <= archives.last:  # hardly ever: a snapshot reflects these rows
            elsewhere = [seq for seq, _, _, body in tail if not body]
            found = await connection.ask(archives.bodies, elsewhere)
            tail[:] = [(seq, kind, at, found.get(seq, body)) for seq, kind, at, body in tail]
    return loaded, lost


def _load(db: sqlite3.Connection, asked: Asked) -> tuple[dict[str, Loaded], list[Run]]:
    kept = _snapshots(db, asked.users)
    after = {user: found.seq if (found := kept.get(user)) else 0 for user in asked.users}
    positions, lost = _positions(db, asked, after)
    wanted = [seq for found in positions.values() for seq in found]
    ((text,),) = db.execute(_ROWS, (as_array(wanted),))
    rows = {entry[0]: entry for entry in _entries.decode(text)}
    return {
        user: Loaded(kept.get(user), [rows[seq] for seq in found if seq in rows])
        for user, found in positions.items()
    }, lost


def _snapshots(db: sqlite3.Connection, users: Sequence[str]) -> dict[str, Snapshot]:
    places = [(partition_of(encode_user(user)), user) for user in users]
    ((text, bodies),) = db.execute(_SNAPSHOTS, (msgspec.json.encode(places).decode(),))
    kept, end = dict[str, Snapshot](), 0
    for number, seq, schema, length in _kept.decode(text):
        begin, end = end, end + length
        partition, user = places[number]
        kept[user] = Snapshot(partition, user, seq, schema, bodies[begin:end])
    return kept


def _positions(
    db: sqlite3.Connection, asked: Asked, after: Mapping[str, int]
) -> tuple[dict[str, list[int]], list[Run]]:
    """The first positions of each user behind one, but of users for whom that takes more."""
    found = {user: list[int]() for user in asked.users}
    asks, whose = list[Ask](), list[str]()
    for user, seq in after.items():
        runs = [run for run in asked.runs if run.last > seq]
        if any(run.id in asked.lost for run in runs):
            del found[user]
            continue
        low, high = bound(user, seq + 1), behind(user)
        asks += [Ask(run, Section.ROWS, low, high, _BLOCKS) for run in runs]
        whose += [user] * len(runs)
    lost = list[Run]()
    for begin in range(0, len(asks), ASKS_AT_ONCE):
        some = slice(begin, begin + ASKS_AT_ONCE)
        for user, ask, part in zip(
            whose[some], asks[some], read(db, asks[some], PLACES), strict=True
        ):
            if part is None:
                lost.append(ask.run)
            if user not in found or len(found[user]) >= asked.limit:
                continue
            some_ = (
                []
                if part is None
                else [seq for body in part.bodies for seq in numbers_of(body, user)]
            )
            found[user] += [seq for seq in some_ if seq > after[user]]
            if part is None or not (part.whole or len(found[user]) >= asked.limit):
                del found[user]
    for user, recent in zip(asked.users, asked.recent, strict=True):
        if user in found:
            more = [seq for seq in recent if seq > after[user]]
            found[user] = [*found[user], *more][: asked.limit]
    return found, lost


def _attach(db: sqlite3.Connection, index: Path) -> None:
    db.execute(f"ATTACH ? AS {PLACES}", (f"{index.absolute().as_uri()}?mode=ro",))
    for name in ("main", PLACES):
        db.execute(f"PRAGMA {name}.cache_size = -{CACHE_KIB}")


def _detach(db: sqlite3.Connection) -> None:
    db.execute(f"DETACH {PLACES}")
