"""Reads of the file of the index: blocks of many places in one statement, checked.

Each step of a statement hands the interpreter lock back and forth, and a thread may wait
milliseconds for it while the event loop is busy. So one statement gives all blocks in one row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from persistence.sqlite.blocks import Block, Run, checksum, checksum_of, checksum_of_place
from persistence.sqlite.connection import is_unread
from persistence.sqlite.sections import Section

ASKS_AT_ONCE: Final = 256
"""Places of one statement."""
PLACES: Final = "places"
"""What the file is called where it is attached to the log."""

# Of each place that is asked: its run, its section and its bounds. The block with the lower bound
# is the one before it in order. Bodies come one behind the other, in the order of the array, beside
# it.
_PLACE: Final = (
    "run = json_extract(asked.value, '$[0]') AND section = json_extract(asked.value, '$[1]')"
)
_RANGE: Final = """
SELECT id FROM {schema}.blocks WHERE {place}
    AND first >= coalesce((
        SELECT first FROM {schema}.blocks WHERE {place}
            AND first <= json_extract(asked.value, '$[2]')
        ORDER BY first DESC LIMIT 1
    ), '')
    AND first < json_extract(asked.value, '$[3]')
ORDER BY first {order} LIMIT ?2
"""
_READ: Final = """
SELECT CAST(json_group_array(json_array(
    asked.key, found.first, found.next, found.checksum, length(CAST(found.body AS BLOB))
)) AS BLOB), CAST(group_concat(found.body, '') AS BLOB)
FROM json_each(?1) AS asked CROSS JOIN {schema}.blocks AS found ON found.id IN ({range})
"""
# One block of each place: the one with a bound, or the one before it. What is asked is an object of
# JSON: bounds by run, in order; to take each place out of an array takes as long as all else.
_ONE: Final = """
SELECT CAST(json_group_array(json_array(
    found.first, found.next, found.checksum, length(CAST(found.body AS BLOB))
)) AS BLOB), CAST(group_concat(found.body, '') AS BLOB)
FROM json_each(?1) AS asked LEFT JOIN {schema}.blocks AS found ON found.id = (
    SELECT id FROM {schema}.blocks
    WHERE run = CAST(asked.key AS INTEGER) AND section = ?2 AND first {before} asked.value
    ORDER BY first DESC LIMIT 1
)
"""


class Ask(NamedTuple):
    """Blocks of a section of a run.

    Attributes:
        run: the run.
        section: the section.
        low: the bound from which on,
        high: and up to which, entries are asked for.
        blocks: how many at the most.
        newest: whether those at the upper end come first.
    """

    run: Run
    section: Section
    low: str
    high: str
    blocks: int
    newest: bool = False


class Part(NamedTuple):
    """Blocks that were checked.

    Attributes:
        bodies: in order.
        low: they have all entries from this bound on,
        high: up to this one.
        whole: whether that is all that was asked for.
    """

    bodies: list[bytes]
    low: str
    high: str
    whole: bool


_encode: Final = msgspec.json.Encoder().encode
_found: Final = msgspec.json.Decoder(list[tuple[int, str, str, int, int]]).decode
_heads: Final = msgspec.json.Decoder(
    list[tuple[str | None, str | None, int | None, int | None]]
).decode


def query_of_one(*, newest: bool, schema: str = "main") -> str:
    """The statement that reads one block of each place; its variables are what, and a section."""
    return _ONE.format(schema=schema, before="<" if newest else "<=")


def query(*, newest: bool, schema: str = "main") -> str:
    """The statement that reads blocks; its variables are what was asked, as JSON, and the limit."""
    range_ = _RANGE.format(place=_PLACE, schema=schema, order="DESC" if newest else "ASC")
    return _READ.format(schema=schema, range=range_)


_QUERIES_OF_ONE: Final = {
    (schema, newest): query_of_one(newest=newest, schema=schema)
    for schema in ("main", PLACES)
    for newest in (False, True)
}
_QUERIES: Final = {
    (schema, newest): query(newest=newest, schema=schema)
    for schema in ("main", PLACES)
    for newest in (False, True)
}


def read(db: sqlite3.Connection, asks: Sequence[Ask], schema: str = "main") -> list[Part | None]:
    """What was asked for, of one section, as many blocks, from one end; None for what is damaged.

    Raises:
        sqlite3.Error: it cannot be read just now.
    """
    found = list[Part | None]()
    for begin in range(0, len(asks), ASKS_AT_ONCE):
        found += _read(db, asks[begin : begin + ASKS_AT_ONCE], schema)
    return found


def read_ones(
    db: sqlite3.Connection,
    section: Section,
    runs: Sequence[Run],
    bounds: Sequence[str],
    schema: str = "main",
    *,
    newest: bool = False,
) -> list[tuple[str, str, bytes] | None]:
    """One block of each place, at most `ASKS_AT_ONCE`: its bounds and its body.

    Args:
        db: the connection.
        section: the section of all.
        runs: the run of each place.
        bounds: the bound that the block of each place has.
        schema: what the file is called.
        newest: whether it has what is before the bound, else what is behind it.

    Returns:
        As many; None for what is damaged.

    Raises:
        sqlite3.Error: it cannot be read just now.
    """
    asked = [b'"%d":%b' % (run[0], _encode(at)) for run, at in zip(runs, bounds, strict=True)]
    args = (b"{%b}" % b",".join(asked)).decode(), int(section)
    try:
        ((text, bodies),) = db.execute(_QUERIES_OF_ONE[schema, newest], args)
        heads = _heads(text)
    except (sqlite3.Error, ValueError) as error:
        if isinstance(error, sqlite3.Error) and not is_unread(error):
            raise
        if len(runs) == 1:
            return [None]
        alone = list[tuple[str, str, bytes] | None]()
        for run, at in zip(runs, bounds, strict=True):
            alone += read_ones(db, section, [run], [at], schema, newest=newest)
        return alone
    places = dict[int, int]()
    found = list[tuple[str, str, bytes] | None]()
    end = 0
    for run, at, (first, after, check, length) in zip(runs, bounds, heads, strict=True):
        if first is None or after is None or check is None or length is None:
            found.append(None)
            continue
        begin, end = end, end + length
        body: bytes = bodies[begin:end]
        place = places.get(run[0])
        if place is None:
            place = places[run[0]] = checksum_of_place(run, section)
        fits = _covers(first, at, after, newest=newest) and _same(
            checksum_of(place, first, after, body), check
        )
        found.append((first, after, body) if fits else None)
    return found


def _covers(first: str, at: str, after: str, *, newest: bool) -> bool:
    """Whether a block with these bounds has what is behind a bound, or what is before it."""
    return first < at <= after if newest else first <= at < after


def _same(counted: int, stored: int) -> bool:
    """Whether a block has the checksum that is stored with it."""
    return counted == stored


def _read(db: sqlite3.Connection, asks: Sequence[Ask], schema: str) -> list[Part | None]:
    if asks[0].blocks == 1:
        newest = asks[0].newest
        bounds = [ask.high if newest else ask.low for ask in asks]
        ones = read_ones(
            db, asks[0].section, [ask.run for ask in asks], bounds, schema, newest=newest
        )
        return [
            None
            if one is None
            else Part([one[2]], one[0], one[1], one[0] <= ask.low and ask.high <= one[1])
            for ask, one in zip(asks, ones, strict=True)
        ]
    try:
        blocks = _blocks(db, asks, schema)
    except (sqlite3.Error, ValueError) as error:
        if isinstance(error, sqlite3.Error) and not is_unread(error):
            raise
        if len(asks) == 1:
            return [None]
        return [part for ask in asks for part in _read(db, [ask], schema)]
    return [checked(ask, some) for ask, some in zip(asks, blocks, strict=True)]


def _blocks(
    db: sqlite3.Connection, asks: Sequence[Ask], schema: str
) -> list[list[tuple[Block, int]]]:
    """The blocks of each place, and what is stored as their checksum."""
    asked = [(ask.run.id, ask.section, ask.low, ask.high) for ask in asks]
    text = msgspec.json.encode(asked).decode()
    statement = _QUERIES[schema, asks[0].newest]
    ((heads, bodies),) = db.execute(statement, (text, asks[0].blocks))
    found: list[list[tuple[Block, int]]] = [[] for _ in asks]
    end = 0
    for number, first, after, check, length in _found(heads):
        begin, end = end, end + length
        found[number].append((Block(first, after, bodies[begin:end]), check))
    return found


def checked(ask: Ask, found: list[tuple[Block, int]]) -> Part | None:
    """The blocks of a place, if each is as it was written and none is missing."""
    if len(found) > 1:
        found.sort()
    edge = None
    for block, check in found:
        same = _same(checksum(ask.run, ask.section, block), check)
        if edge not in {None, block.first} or not same:
            return None
        edge = block.next
    if not found or edge is None:
        return None
    low, high, full = found[0][0].first, edge, len(found) == ask.blocks
    # One that is not there is missed at the end at which the others are, or before the limit.
    if ask.newest:
        fits = found[-1][0].first < ask.high <= high and (low <= ask.low or full)
    else:
        fits = low <= ask.low < found[0][0].next and (ask.high <= high or full)
    if not fits:
        return None
    bodies = [block.body for block, _ in found]
    return Part(bodies, low, high, low <= ask.low and ask.high <= high)
