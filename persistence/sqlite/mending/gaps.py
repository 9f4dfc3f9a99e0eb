"""Positions of which no source has a row: how many, whose they may be, and of when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from messages.subjects import PARTITIONS
from persistence.chain.losses import EVERY_PARTITION, Loss, Losses
from persistence.sqlite.mending.candidates import Candidate, Torn

TORN_MAX: Final = 1_000
"""Rows of one gap that are named; more are counted only."""


class Gap:
    """Positions that follow each other and have no row.

    Attributes:
        first: the first one.
        last: the last one.
        partitions: whose rows may be among them, a bit for each.
        since: when the row before took effect, None if there is none.
        until: when the row behind did.
        torn: what is left of rows, of `TORN_MAX` at most.
    """

    def __init__(self, first: int, since: int | None) -> None:
        self.first = first
        self.last = first - 1
        self.partitions = EVERY_PARTITION
        self.since = since
        self.until: int | None = None
        self.torn: list[Torn] = []


class Gaps:
    """The gaps of a log, while its rows pass in order.

    Args:
        links: what the first row of each partition builds on.

    Attributes:
        all: those that there are.
        last: the newest position that has a row.
    """

    def __init__(self, links: Sequence[bytes]) -> None:
        self.all: list[Gap] = []
        self.last = 0
        self._at: int | None = None
        self._links = list(links)
        self._seen = [0] * PARTITIONS  # how many gaps there were at the newest row of each

    def add(self, first: int, last: int, torn: Torn | None = None) -> None:
        """Positions have no row; they are behind all that passed."""
        if not self.all or self.all[-1].last != first - 1 or self.last == first - 1:
            self.all.append(Gap(first, self._at))
        gap = self.all[-1]
        gap.last = last
        if torn is not None and len(gap.torn) < TORN_MAX:
            gap.torn.append(torn)

    def take(self, one: Candidate) -> None:
        """A row passes. If it builds on its partition's row before, no row of that is missing."""
        row, partition = one.row, one.row.partition
        if self.all and self.all[-1].until is None:
            self.all[-1].until = row.at
        open_ = self.all[self._seen[partition] :]
        if open_ and one.follows(self._links[partition]):
            for gap in open_:
                gap.partitions &= ~(1 << partition)
        self._seen[partition] = len(self.all)
        self._links[partition] = one.link
        self._at = row.at
        self.last = row.seq

    def end_at(self, last: int) -> None:
        """Forget positions behind one and behind the newest row: nothing says they ever were."""
        last = max(last, self.last)
        while self.all and self.all[-1].last > last:
            if self.all[-1].first <= last:
                self.all[-1].last = last
                break
            del self.all[-1]

    def losses(self, accepted: Losses, at: int) -> Iterator[Loss]:
        """What is lost: what was accepted before, as it was, and the rest as of this moment."""
        yield from accepted.all
        for first, last, gap in self.missing(accepted):
            yield Loss(first, last, at, gap.partitions)

    def missing(self, accepted: Losses) -> Iterator[tuple[int, int, Gap]]:
        """The ranges that nobody accepted before."""
        for gap in self.all:
            for first, last in accepted.without(gap.first, gap.last):
                yield first, last, gap
