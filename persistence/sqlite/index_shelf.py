"""An open file of the index: its runs, and how a question is answered of a run that is damaged.

Such a run is read from the log again, into memory, for as long as the file is made anew. That is
done for a few runs; whoever needs more of them is told when to come again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from persistence.errors import JournalError
from persistence.sqlite.blocks import Run
from persistence.sqlite.connection import Connection
from persistence.sqlite.index_reads import Ask, Part, read
from persistence.sqlite.index_source import Source
from persistence.sqlite.recent import RecentPositions
from persistence.sqlite.user_filter import UserFilter, put_in

LOST_MAX: Final = 2
"""Runs of one question that are read from the log: each is 100,000 rows."""

Found: TypeAlias = Part | RecentPositions
"""What a run has of a question: blocks, or all of its rows."""


class Shelf:
    """The runs of the index, in a file or not.

    Args:
        filler: writes the file; None if there is none that can be used.
        reader: reads it; None as before.
        runs: what it has, or would have.
        file: marks the file.
        filters: the users of runs, by the number of the run, the oldest first.
        damaged: is told of the first run that is damaged.
        source: reads the log.
        why_not: gives what is raised to who needs more than there is: `BeingMade`, or `Damaged`.
    """

    def __init__(
        self,
        filler: Connection | None,
        reader: Connection | None,
        runs: list[Run],
        file: int,
        filters: dict[int, UserFilter],
        damaged: Callable[[str], None],
        source: Source,
        why_not: Callable[[], JournalError],
    ) -> None:
        self.filler = filler
        self.reader = reader
        self.runs = runs
        self.file = file
        self.filters = filters
        self.lost = {run.id for run in runs} if reader is None else set[int]()
        self._damaged = damaged
        self._source = source
        self._why_not = why_not
        self._stand_ins: dict[int, RecentPositions] = {}
        self._scans: Counter[int] = Counter()  # who waits for each run
        self._scanning = asyncio.Lock()

    @property
    def last(self) -> int:
        """Up to where the runs have the rows of the log."""
        return self.runs[-1].last if self.runs else 0

    def next_run(self, last: int) -> Run:
        """The run behind all others, up to a position."""
        return Run(len(self.runs) + 1, self.last, last, self.file)

    def take_in(self, run: Run, users: UserFilter | None) -> None:
        """A run was filled in, and this is the filter of its users."""
        self.runs.append(run)
        if users is None:  # the disk has just lost it
            self.lose_filter(run)
        else:
            put_in(self.filters, run, users)

    async def take(self, asks: Sequence[Ask], needed: set[int]) -> list[Found]:
        """What runs have of a question.

        Args:
            asks: all as many blocks and from the same end.
            needed: the runs that this question needed from the log, to which it adds.

        Raises:
            BeingMade: these would be too many.
            Damaged: a row of the log is.
            Unavailable: the file or the log cannot be read.
        """
        readable = [ask for ask in asks if ask.run.id not in self.lost]
        parts = dict[Ask, Part | None]()
        if readable and self.reader is not None:
            found = await self.reader.ask(read, readable)
            parts = dict(zip(readable, found, strict=True))
        for ask in asks:
            if parts.get(ask) is None:
                needed.add(ask.run.id)
                self.lose(ask.run)
        if len(needed) > LOST_MAX:
            raise self._why_not()
        return [parts.get(ask) or await self._stand_in(ask.run) for ask in asks]

    def lose(self, run: Run) -> None:
        """A run is damaged."""
        if run.id not in self.lost:
            self.lost.add(run.id)
            self._damaged(f"the run of rows {run.after + 1} to {run.last}")

    def lose_filter(self, run: Run) -> None:
        """The filter of a run is damaged: it is always looked into."""
        self._damaged(f"the filter of the run of rows {run.after + 1} to {run.last}")

    async def _stand_in(self, run: Run) -> RecentPositions:
        """All rows of a run that is damaged.

        There is room for so many as a question may need. While others wait for these nobody has
        them thrown out: else each question would read the log again, and all wait for all others.
        """
        if run.id not in self._scans and len(self._scans) >= LOST_MAX:
            raise self._why_not()
        self._scans[run.id] += 1
        try:
            return await self._scanned(run)
        finally:
            self._scans[run.id] -= 1
            if not self._scans[run.id]:
                del self._scans[run.id]

    async def _scanned(self, run: Run) -> RecentPositions:
        async with self._scanning:  # else two who ask at once would read the same rows
            found = self._stand_ins.pop(run.id, None)
            if found is None:
                while len(self._stand_ins) >= LOST_MAX:
                    del self._stand_ins[next(iter(self._stand_ins))]
                found = await self._source.lump(run.after, run.last)
            self._stand_ins[run.id] = found  # the one that was used last is behind
            return found

    async def close(self) -> None:
        """Close the file."""
        for connection in (self.reader, self.filler):
            if connection is not None:
                await connection.close()
