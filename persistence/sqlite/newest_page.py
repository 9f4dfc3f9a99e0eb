"""A page of a user's newest rows, in one trip to the thread that reads.

A trip waits for the interpreter lock twice, which takes longer than all that is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from persistence.records import Row
from persistence.sqlite.blocks import Run, bound, numbers_of
from persistence.sqlite.index_reads import PLACES, read_ones
from persistence.sqlite.sections import Section
from persistence.sqlite.stored_rows import StoredRows

RUNS_AT_ONCE: Final = 4


class Wanted(NamedTuple):
    """Which rows to read.

    Attributes:
        user: whose.
        before: those before this position, newest first,
        limit: and at most so many.
        recent: positions of them that are in no run, newest first.
        runs: the runs of the index that may have others, newest first.
        lost: those of them that are damaged, by number.
    """

    user: str
    before: int
    limit: int
    recent: Sequence[int]
    runs: Sequence[Run]
    lost: AbstractSet[int]


class Page(NamedTuple):
    """What was read.

    Attributes:
        positions: of all rows that are there, newest first.
        rows: those of them that are wanted, newest first.
    """

    positions: list[int]
    rows: list[Row]


def read(
    db: sqlite3.Connection, wanted: Wanted, stored: StoredRows, keep: Callable[[Row], bool]
) -> Page | Run:
    """A page, or a run that turned out to be damaged, so that there is no page.

    Args:
        db: a connection to the log that has the index attached.
        wanted: what is read.
        stored: reads the rows.
        keep: says which rows are wanted.

    Raises as `StoredRows.at`.
    """
    positions = _positions(db, wanted)
    if isinstance(positions, Run):
        return positions
    return Page(positions, stored.at(db, positions, keep)[::-1] if positions else [])


def _positions(db: sqlite3.Connection, wanted: Wanted) -> list[int] | Run:
    found = [*wanted.recent[: wanted.limit]]
    at = bound(wanted.user, max(wanted.before, 0))
    for begin in range(0, len(wanted.runs), RUNS_AT_ONCE):
        if len(found) >= wanted.limit:
            break
        runs = wanted.runs[begin : begin + RUNS_AT_ONCE]
        lost = next((run for run in runs if run.id in wanted.lost), None)
        if lost is not None:
            return lost
        ones = read_ones(db, Section.ROWS, runs, [at] * len(runs), PLACES, newest=True)
        for run, one in zip(runs, ones, strict=True):
            if len(found) < wanted.limit and not _added(db, wanted, run, one, found):
                return run
    return found[: wanted.limit]


def _added(
    db: sqlite3.Connection,
    wanted: Wanted,
    run: Run,
    one: tuple[str, str, bytes] | None,
    found: list[int],
) -> bool:
    """Add what a run has of the user, of which one block is known; whether it is not damaged."""
    least = bound(wanted.user)
    while one is not None:
        first, _, body = one
        numbers = [seq for seq in numbers_of(body, wanted.user) if seq < wanted.before]
        found += numbers[::-1]
        if first <= least or len(found) >= wanted.limit:
            return True
        # A user of many rows: the others are in the block before it.
        (one,) = read_ones(db, Section.ROWS, [run], [first], PLACES, newest=True)
    return False
