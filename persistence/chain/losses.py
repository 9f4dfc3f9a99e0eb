"""Positions whose rows are lost for good, and which an operator accepted to go on without."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from messages.subjects import PARTITIONS

EVERY_PARTITION: Final = (1 << PARTITIONS) - 1


class Loss(NamedTuple):
    """Some positions that follow each other.

    Attributes:
        first: the first one.
        last: the last one.
        at: when that was accepted, microseconds since the epoch.
        partitions: whose rows may be among them, a bit for each: the chain proves of the others
            that they have lost none.
    """

    first: int
    last: int
    at: int
    partitions: int = EVERY_PARTITION

    def may_have_lost(self, partition: int) -> bool:
        """Whether rows of a partition may be among them."""
        return bool(self.partitions >> partition & 1)


class Losses:
    """All accepted losses of a log.

    Args:
        losses: any; none has a position of another one.

    Attributes:
        all: in order.
        end: the last position that is lost, 0 if none is.
    """

    def __init__(self, losses: Iterable[Loss] = ()) -> None:
        self.all = sorted(losses)
        self.end = self.all[-1].last if self.all else 0
        self._firsts = [loss.first for loss in self.all]

    def __contains__(self, seq: int) -> bool:
        place = bisect_right(self._firsts, seq)
        return place > 0 and seq <= self.all[place - 1].last

    def there(self, seq: int) -> int:
        """The newest position up to one that is not lost, 0 if there is none."""
        while seq in self:
            seq = self.all[bisect_right(self._firsts, seq) - 1].first - 1
        return seq

    def within(self, first: int, last: int) -> list[Loss]:
        """Those that have one of these positions."""
        begin = max(bisect_right(self._firsts, first) - 1, 0)
        some = self.all[begin : bisect_right(self._firsts, last)]
        return [loss for loss in some if loss.last >= first]

    def without(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The ranges of these positions that are not lost."""
        for loss in self.within(first, last):
            if first < loss.first:
                yield first, loss.first - 1
            first = loss.last + 1
        if first <= last:
            yield first, last

    def next_there(self, after: int, limit: int, last: int) -> list[int]:
        """The first positions behind one, up to another, that are not lost."""
        found: list[int] = []
        for begin, end in self.without(after + 1, last):
            found += range(begin, min(end, begin + limit - len(found) - 1) + 1)
            if len(found) == limit:
                break
        return found


NONE: Final = Losses()
