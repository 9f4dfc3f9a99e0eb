"""What a log has beside its rows: notes of links, positions, and snapshots of users."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from persistence.records import Snapshot
from persistence.sqlite.heads import links_of
from persistence.sqlite.mending.accepted import knows_losses
from persistence.sqlite.mending.salvage import snapshots as snapshots_in_pages
from persistence.sqlite.mending.shelf import Shelf
from persistence.sqlite.mending.sources import CHAIN_OF_ROWS, Source
from persistence.sqlite.positions import ARCHIVED, ENDS, PUBLISHED

_AT_ONCE: Final = 500
_COLUMNS: Final = "partition, user_id, seq, schema, body"

IsWhole = Callable[[Snapshot], bool]
"""Says whether a snapshot is as it was written, as far as its owner can tell."""


def check_notes(log: Source) -> None:
    """Compare the log's notes of its links with their checksums; what does not fit is a flaw."""

    def look(db: sqlite3.Connection) -> None:
        for seq, links in db.execute("SELECT seq, links FROM heads"):
            links_of(seq, links, max(log.unchecked or 0, log.begin.seq if log.begin else 0))

    if log.schema >= CHAIN_OF_ROWS:  # before, there were none
        log.ask("the notes of links", look, None)


def positions_of(log: Source, backups: Sequence[Source], shelf: Shelf, end: int) -> dict[str, int]:
    """Positions by name: what the log says, or else the lowest that a backup says."""
    found = dict[str, int]()
    for name in (PUBLISHED, ENDS, ARCHIVED):
        mine = log.position(name)
        others = [one for backup in backups if (one := backup.position(name)) is not None]
        if mine is None and name == ARCHIVED:
            mine = max([0, *(entry.last for entry in shelf.entries)])
        elif mine is None and others:
            mine = min(others)
        if mine is not None:
            found[name] = mine if name == ENDS else min(mine, end)  # that one is a moment
    return found


class Snapshots:
    """The snapshots of a log, and where they cannot be read those of its backups.

    Args:
        log: the log.
        backups: of the same log.
        is_whole: see `IsWhole`.

    Attributes:
        left_out: how many of the log's were not whole, as of the newest look at all.
    """

    def __init__(self, log: Source, backups: Sequence[Source], is_whole: IsWhole) -> None:
        self.left_out = 0
        self._log = log
        self._backups = backups
        self._is_whole = is_whole

    def all(self) -> Iterator[Snapshot]:
        """Those that are whole, of some users more than one.

        Raises:
            OSError: the log cannot be opened, or read, and not since the disk has lost a part.
        """
        self.left_out = 0
        flaws = len(self._log.flaws)
        for one in self._read(self._log):
            if one is not None:
                yield one
            else:
                self.left_out += 1
        if not self._log.is_readable or len(self._log.flaws) > flaws or self.left_out:
            yield from self._elsewhere()

    def _elsewhere(self) -> Iterator[Snapshot]:
        for backup in self._backups:
            for one in self._read(backup):
                if one is not None and knows_losses(one, backup, self._log.losses):
                    yield one
        for one in snapshots_in_pages(self._log.path):
            if self._is_whole(one):
                yield one

    def _read(self, source: Source) -> Iterator[Snapshot | None]:
        """The snapshots of a source, and None for each that is not whole."""
        last = source.ask("the table of snapshots", _last, 0)
        for begin in range(1, last + 1, _AT_ONCE):
            yield from self._between(source, begin, min(begin + _AT_ONCE - 1, last))

    def _between(self, source: Source, first: int, last: int) -> Iterator[Snapshot | None]:
        flaws = len(source.flaws)
        query = f"SELECT {_COLUMNS} FROM snapshots WHERE rowid >= ? AND rowid <= ?"  # noqa: S608 -- text of this module
        found = source.ask(
            "the table of snapshots", lambda db: db.execute(query, (first, last)).fetchall(), None
        )
        if found is None and first < last:
            del source.flaws[flaws + 1 :]
            middle = (first + last) // 2
            yield from self._between(source, first, middle)
            yield from self._between(source, middle + 1, last)
            return
        for one in found or ():
            yield self._checked(Snapshot(*one))

    def _checked(self, one: Snapshot) -> Snapshot | None:
        typed = [type(field) for field in one] == [int, str, int, int, bytes]
        try:
            return one if typed and self._is_whole(one) else None
        except UnicodeEncodeError:  # the user is no text
            return None


def _last(db: sqlite3.Connection) -> int:
    try:
        (last,) = db.execute("SELECT coalesce(max(rowid), 0) FROM snapshots").fetchone()
    except sqlite3.OperationalError as error:
        if "no such" in str(error):  # of a schema in which the table had no such column
            return 0
        raise
    return int(last)
