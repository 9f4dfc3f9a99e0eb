"""What the states of several users are made of, in one trip to the thread that reads.

Each step of a statement hands the interpreter lock back and forth, and a thread may wait
milliseconds for it while the event loop is busy. So three statements give all that there is, in
one row each: the snapshots, the blocks of the index, which are checked, and the rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

import msgspec

from messages.subjects import encode_user, partition_of
from persistence.damage import tell
from persistence.errors import Damaged
from persistence.records import Entry, Loaded, Snapshot
from persistence.sqlite.at_once import bodies_of, read_fields
from persistence.sqlite.blocks import Run, behind, bound, numbers_of
from persistence.sqlite.checked import damaged
from persistence.sqlite.connection import Connection, is_damage
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.index_reads import ASKS_AT_ONCE, PLACES, read_ones
from persistence.sqlite.sections import Section
from persistence.sqlite.stored_rows import StoredRows
from persistence.sqlite.user_filter import UserFilter, maybe_of

_FIELDS_OF_SNAPSHOT: Final = [int, str, int, int, bytes]
_SET_ASIDE: Final = "nothing: the user is made of the log; meterd mend makes room for another one"
_ONE_SNAPSHOT: Final = (
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


class _Kept(NamedTuple):
    number: int
    seq: int
    schema: int
    length: int


_kept: Final = msgspec.json.Decoder(list[_Kept])


class Asked(NamedTuple):
    """Whom to read.

    Attributes:
        users: the user ids.
        recent: positions of each user that are in no run, oldest first.
        runs: the runs of the index, oldest first.
        lost: those of them that are damaged, by number.
        filters: the users of runs, by the number of the run.
        limit: how many rows of each user are read at most.
    """

    users: Sequence[str]
    recent: Sequence[Sequence[int]]
    runs: Sequence[Run]
    lost: AbstractSet[int]
    filters: Mapping[int, UserFilter]
    limit: int


async def load(
    connection: Connection, asked: Asked, stored: StoredRows
) -> tuple[dict[str, Loaded], list[Run]]:
    """See `LogQueries.load`; without users of whom a run has something and is damaged.

    Raises as `Connection.ask` and `StoredRows.at`.

    Returns:
        What was loaded, and the runs that turned out to be damaged.
    """
    return await connection.ask(_load, asked, stored)


def _load(
    db: sqlite3.Connection, asked: Asked, stored: StoredRows
) -> tuple[dict[str, Loaded], list[Run]]:
    partitions = {user: partition_of(encode_user(user)) for user in asked.users}
    kept = _snapshots(db, partitions)
    after = {user: kept[user].seq if user in kept else 0 for user in asked.users}
    positions, lost = _positions(db, asked, after)
    wanted = [seq for found in positions.values() for seq in found]
    whose = [(partitions[user], user) for user, found in positions.items() for _ in found]
    fields, bytes_ = read_fields(db, wanted)
    if fields:
        bodies: Sequence[str | None] = bodies_of(fields, bytes_, whose, stored.unchecked)
    else:
        bodies = [None] * len(wanted)
    loaded = dict[str, Loaded]()
    place = 0
    for user, found in positions.items():
        tail, alone = list[Entry](), list[int]()
        for at, seq in enumerate(found, place):
            body = bodies[at]
            if body:
                tail.append((seq, fields[at][2], fields[at][3], body))
            else:
                alone.append(seq)
        place += len(found)
        # Those whose body is in an archive; hardly ever: a snapshot reflects these rows. And those
        # that are not as they were written, which is raised here.
        for row in stored.at(db, alone) if alone else ():
            if row.user != user:
                raise damaged(row.seq)
            tail.append((row.seq, row.kind, row.at, row.body))
        if alone:
            tail.sort()
        loaded[user] = Loaded(kept.get(user), tail)
    return loaded, lost


def _snapshots(db: sqlite3.Connection, partitions: Mapping[str, int]) -> dict[str, Snapshot]:
    """The snapshots of those users who have one that can be read."""
    places = [(partition, user) for user, partition in partitions.items()]
    kept, end = dict[str, Snapshot](), 0
    try:
        ((text, bodies),) = db.execute(_SNAPSHOTS, (msgspec.json.encode(places).decode(),))
        found = _kept.decode(text)
    except (sqlite3.Error, msgspec.DecodeError) as error:
        if isinstance(error, sqlite3.Error) and not is_damage(error):
            raise
        alone = [one_snapshot(db, user) for user in partitions]  # it is one of them
        return {one.user: one for one in alone if one is not None}
    for number, seq, schema, length in found:
        begin, end = end, end + length
        partition, user = places[number]
        kept[user] = Snapshot(partition, user, seq, schema, bodies[begin:end])
    return kept


def one_snapshot(db: sqlite3.Connection, user: str) -> Snapshot | None:
    """A user's snapshot, None if there is none that can be read: the log has all that it says.

    Raises:
        sqlite3.Error: the database cannot be read just now.
    """
    try:
        found = db.execute(_ONE_SNAPSHOT, (partition_of(encode_user(user)), user)).fetchone()
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        found = ()
    if found is None:
        return None
    if [type(field) for field in found] == _FIELDS_OF_SNAPSHOT:
        return Snapshot(*found)
    tell(Damaged(DATABASE, f"the snapshot of {user!r}", _SET_ASIDE))
    return None


def _positions(
    db: sqlite3.Connection, asked: Asked, after: Mapping[str, int]
) -> tuple[dict[str, list[int]], list[Run]]:
    """The first positions of each user behind one, but of users for whom that takes more."""
    found = {user: list[int]() for user in asked.users}
    runs_of, bounds, whose = list[Run](), list[str](), list[str]()
    for user, seq in after.items():
        runs = [run for run in asked.runs if run.last > seq]
        runs = maybe_of(runs, asked.filters, [user])
        if any(run.id in asked.lost for run in runs):
            del found[user]
            continue
        runs_of += runs
        bounds += [bound(user, seq + 1)] * len(runs)
        whose += [user] * len(runs)
    lost = list[Run]()
    for begin in range(0, len(whose), ASKS_AT_ONCE):
        end = min(begin + ASKS_AT_ONCE, len(whose))
        ones = read_ones(db, Section.ROWS, runs_of[begin:end], bounds[begin:end], PLACES)
        for user, run, one in zip(whose[begin:end], runs_of[begin:end], ones, strict=True):
            if one is None:
                lost.append(run)
            mine = found.get(user)
            if mine is None or len(mine) >= asked.limit:
                continue
            if one is None or not _added(mine, one, user, after[user], asked.limit):
                del found[user]
    for user, recent in zip(asked.users, asked.recent, strict=True):
        if user in found:
            more = [seq for seq in recent if seq > after[user]]
            found[user] = [*found[user], *more][: asked.limit]
    return found, lost


def _added(
    found: list[int], block: tuple[str, str, bytes], user: str, after: int, limit: int
) -> bool:
    """Add what a block has of a user; whether that is all that the run has, or is enough.

    It is, nearly always.
    """
    _, end, body = block
    found += [seq for seq in numbers_of(body, user) if seq > after]
    return end >= behind(user) or len(found) >= limit
