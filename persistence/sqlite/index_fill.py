"""How a lump in memory becomes a run of the file of the index, in a thread beside the loop.

The thread must not keep the interpreter from the loop: large things are sorted in pieces, and
between them, and with each group of blocks, it lets go of it.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import chain, islice
from typing import Final, TypeAlias, TypeVar

from persistence.sqlite.blocks import POSITION, POSITION_BITS, Run, checksum, cut
from persistence.sqlite.recent import RecentPositions, Rows
from persistence.sqlite.sections import PAIRS, Section, of_kind
from persistence.sqlite.user_filter import body_of, filter_checksum

PIECE: Final = 2_000
"""This many are sorted at a time: less than half a millisecond."""
GROUP: Final = 24
"""Blocks of one statement: to take the interpreter again after it may take 5 ms."""
PAUSE_S: Final = 0.0001

_T = TypeVar("_T", str, int)
_Entries: TypeAlias = Iterator[tuple[str, list[int]]]


def put(db: sqlite3.Connection, run: Run, tail: RecentPositions) -> None:
    """Put the blocks of a run, within a transaction."""
    users = list(in_order(list(tail.users)))
    _put(db, run, Section.ROWS, _rows(tail.users, users))
    _put(db, run, Section.KINDS, _kinds(tail.kinds))
    _put(db, run, Section.KEYS, _marks(tail.users, users))
    _put(db, run, Section.ENDS, _marks(tail.ends, in_order(list(tail.ends))))
    _put(db, run, Section.OVER, (("", _pairs(some)) for some in _pieces(tail.over)))
    _put(db, run, Section.NOTICES, (("", some.tolist()) for some in _parts(tail.notices)))


def put_filter(db: sqlite3.Connection, run: Run, tail: RecentPositions) -> None:
    """Put the filter of a run's users, within a transaction."""
    body = body_of(_pieces(list(tail.users)), len(tail.users))
    db.execute("INSERT INTO filters VALUES (?, ?, ?)", (run.id, body, filter_checksum(run, body)))


def _put(db: sqlite3.Connection, run: Run, section: Section, entries: _Entries) -> None:
    blocks = cut(entries, 2 if section in PAIRS else 1)
    while group := list(islice(blocks, GROUP)):
        values = [
            (run.id, int(section), block.first, block.next, block.body, check)
            for block in group
            for check in (checksum(run, section, block),)
        ]
        db.execute(_insert(len(group)), list(chain.from_iterable(values)))


@cache
def _insert(count: int) -> str:
    values = ", ".join(["(?, ?, ?, ?, ?, ?)"] * count)
    return f"INSERT INTO blocks (run, section, first, next, body, checksum) VALUES {values}"  # noqa: S608 -- of "?"


def in_order(items: list[_T]) -> Iterator[list[_T]]:
    """All items in order, in lists of about `PIECE`; to make one takes no time to speak of."""
    if len(items) <= PIECE:
        items.sort()
        yield items
        return
    pieces = []
    for some in _pieces(items):
        some.sort()
        pieces.append(some)
    # Those between two of the edges are so many as a piece has, about, and come next.
    sample = sorted(one for piece in pieces for one in piece[:: len(pieces)])
    edges = sample[:: PIECE // len(pieces) + 1][1:]
    begins = [0] * len(pieces)
    for edge in edges:
        ends = [bisect_left(piece, edge) for piece in pieces]
        yield _merged(pieces, begins, ends)
        begins = ends
    yield _merged(pieces, begins, [len(piece) for piece in pieces])


def _merged(pieces: list[list[_T]], begins: list[int], ends: list[int]) -> list[_T]:
    found = list[_T]()
    for piece, begin, end in zip(pieces, begins, ends, strict=True):
        found += piece[begin:end]
    found.sort()
    time.sleep(PAUSE_S)
    return found


def _pieces(items: list[_T]) -> Iterator[list[_T]]:
    for begin in range(0, len(items), PIECE):
        yield items[begin : begin + PIECE]
        time.sleep(PAUSE_S)


def _parts(positions: array[int]) -> Iterator[array[int]]:
    for begin in range(0, len(positions), PIECE):
        yield positions[begin : begin + PIECE]


def _rows(users: Mapping[str, int | Rows], order: Iterable[list[str]]) -> _Entries:
    for some in order:
        for user in some:
            found = users[user]
            if isinstance(found, int):
                yield user, [found & POSITION]
            else:
                for part in _parts(found.positions):
                    yield user, part.tolist()


def _kinds(kinds: Mapping[str, Mapping[str, int | list[int]]]) -> _Entries:
    terms = {of_kind(user, kind): found for kind in kinds for user, found in kinds[kind].items()}
    for some in in_order(list(terms)):
        for term in some:
            found = terms[term]
            yield term, [found] if isinstance(found, int) else list(found)


def _marks(users: Mapping[str, int | Rows], order: Iterable[list[str]]) -> _Entries:
    for some in order:
        for user in some:
            found = users[user]
            if isinstance(found, int):
                mark = found >> POSITION_BITS
                if mark:
                    yield user, [mark, found & POSITION]
            else:
                for part in in_order(_joined(found)):
                    yield user, _pairs(part)


def _joined(rows: Rows) -> list[int]:
    """The marks of a user's keys, each with its position as one number."""
    joined = list[int]()
    marks = array("I", bytes(rows.marks))
    if sys.byteorder == "big":
        marks.byteswap()
    for begin in range(0, len(marks), PIECE):
        some = zip(marks[begin : begin + PIECE], rows.positions[begin : begin + PIECE], strict=True)
        joined += [mark << POSITION_BITS | position for mark, position in some if mark]
        if begin:
            time.sleep(PAUSE_S)
    return joined


def _pairs(joined: list[int]) -> list[int]:
    return [part for one in joined for part in (one >> POSITION_BITS, one & POSITION)]
