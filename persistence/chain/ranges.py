"""Positions that are given as ranges."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final


class Ranges:
    """Positions in some ranges.

    Args:
        ranges: in any order; none has a position of another one.
    """

    def __init__(self, ranges: Iterable[range] = ()) -> None:
        self._ranges = sorted(ranges, key=lambda one: one.start)
        self._firsts = [one.start for one in self._ranges]

    def __contains__(self, seq: object) -> bool:
        if not isinstance(seq, int):
            return False
        place = bisect_right(self._firsts, seq)
        return place > 0 and seq in self._ranges[place - 1]


NOWHERE: Final = Ranges()
