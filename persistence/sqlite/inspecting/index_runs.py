"""A run of the index against the rows that it is of, block by block and entry by entry."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from typing import Final, NamedTuple, TypeAlias

from persistence.sqlite.blocks import LEAST, TOP, Block, Run, all_of, checksum
from persistence.sqlite.index_file import stored_filter
from persistence.sqlite.index_fill import put
from persistence.sqlite.recent import RecentPositions
from persistence.sqlite.sections import PAIRS, Section
from persistence.sqlite.user_filter import UserFilter, maybe_of

_OF_RUN: Final = (
    "SELECT section, first, next, body, checksum FROM blocks WHERE run = ? ORDER BY section, first"
)
_TABLE: Final = (
    "CREATE TABLE blocks (id INTEGER PRIMARY KEY, run INTEGER, section INTEGER, first TEXT,"
    " next TEXT, body BLOB, checksum INTEGER)"
)
_OF_FILE: Final = frozenset(
    {  # an error, since a name in its schema may be another one
        *(sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR),
        sqlite3.SQLITE_ERROR,
    }
)
_OF_BODY: Final = frozenset({Section.ENDS, Section.OVER})
"""Sections whose entries come out of bodies."""

Entries: TypeAlias = "Counter[tuple[str, tuple[int, ...]]]"
"""Terms with their numbers, of which the last is a position."""


class Unknown(NamedTuple):
    """Positions of which the log does not say all: of rows, and of bodies."""

    rows: Container[int]
    bodies: Container[int]


class Stored(NamedTuple):
    """What a file has of a run.

    Attributes:
        blocks: by section; only those that are as they were written.
        why: what is wrong with others, "" if nothing is.
        users: the filter of its users, if that is as it was written.
    """

    blocks: dict[int, list[Block]]
    why: str
    users: UserFilter | None = None


def is_of_file(error: Exception) -> bool:
    """Whether an error is of what the file has, and not of who else has it open."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF in _OF_FILE


def stored_of(db: sqlite3.Connection, run: Run) -> Stored:
    """What a file of the index has of a run, each block checked, and that none is missing.

    Raises:
        sqlite3.Error: it cannot be read, for another reason than damage.
    """
    blocks = dict[int, list[Block]]()
    damaged = 0
    try:
        found = db.execute(_OF_RUN, (run.id,)).fetchall()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if not is_of_file(error):
            raise
        return Stored({}, "SQLite cannot read all of its blocks")
    for section, rows in groupby(found, key=lambda row: row[0]):
        kept = blocks[section] = []
        edge = LEAST
        for _, first, after, body, check in rows:
            block = Block(first, after, body)
            if not _fits(run, section, block, check):
                damaged += 1
                continue
            if first != edge:
                damaged += 1  # one is missing before it, or was not as it was written
            edge = after
            kept.append(block)
        damaged += edge != TOP
    missing = {*map(int, Section)} ^ {*blocks}
    if damaged or missing:
        return Stored(blocks, "blocks of it are missing, or not as they were written")
    users = stored_filter(db, run)
    if users is None:
        return Stored(blocks, "the filter of its users is missing, or not as it was written")
    return Stored(blocks, "", users)


def compared(run: Run, stored: Stored, rows: RecentPositions, unknown: Unknown | None) -> str:
    """What a run has too much or too little, in words; "" if it has what its rows say.

    Args:
        run: the run.
        stored: what the file has, all of it.
        rows: what the log says.
        unknown: of which rows it does not say all; None if it does.
    """
    with closing(sqlite3.connect(":memory:")) as beside:
        beside.execute(_TABLE)
        put(beside, run, rows)
        made = {
            section: [Block(*row) for row in beside.execute(_MADE, (int(section),))]
            for section in Section
        }
    filters = {} if stored.users is None else {run.id: stored.users}
    if not all(maybe_of([run], filters, [user]) for user in rows.users):
        return "the filter of its users lacks some of them"
    more = fewer = 0
    for section in Section:
        theirs, mine = stored.blocks[section], made[section]
        if theirs == mine:  # nearly always, and it takes no decoding
            continue
        ignored = _ignored(section, unknown)
        one, other = (_entries(section, blocks, ignored) for blocks in (theirs, mine))
        more += (one - other).total()
        fewer += (other - one).total()
    if not more and not fewer:
        return ""
    return f"it has {more:,} entries that the log has not, and lacks {fewer:,} that it has"


_MADE: Final = "SELECT first, next, body FROM blocks WHERE section = ? ORDER BY id"


def users_by_position(stored: Stored) -> Mapping[int, str]:
    """Whose the rows of a run are, as far as blocks say that are as they were written."""
    return {
        seq: user
        for block in stored.blocks.get(Section.ROWS, ())
        for user, positions in all_of(block.body).items()
        for seq in positions
    }


def _fits(run: Run, section: int, block: Block, check: object) -> bool:
    try:
        return checksum(run, section, block) == check
    except (AttributeError, TypeError):  # of another type than ever written
        return False


def _ignored(section: Section, unknown: Unknown | None) -> Sequence[Container[int]]:
    if unknown is None:
        return ()
    return (unknown.rows, unknown.bodies) if section in _OF_BODY else (unknown.rows,)


def _entries(
    section: Section, blocks: Sequence[Block], ignored: Sequence[Container[int]]
) -> Entries:
    step = 2 if section in PAIRS else 1
    return Counter(
        (term, numbers)
        for block in blocks
        for term, found in all_of(block.body).items()
        for numbers in _in_steps(found, step)
        if not any(numbers[-1] in some for some in ignored)
    )


def _in_steps(numbers: Sequence[int], step: int) -> Iterator[tuple[int, ...]]:
    for begin in range(0, len(numbers), step):
        yield tuple(numbers[begin : begin + step])
