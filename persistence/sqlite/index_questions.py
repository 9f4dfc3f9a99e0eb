"""What is asked of the index: positions of users, of kinds and of keys, over all runs.

A question sees the runs and the rows in memory of the moment at which it began. It asks several
runs at once, and goes on until it has enough.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from persistence.sqlite.blocks import (
    POSITION,
    POSITION_BITS,
    Run,
    all_of,
    behind,
    bound,
    numbers_of,
    pair_bound,
)
from persistence.sqlite.index_reads import Ask, Part
from persistence.sqlite.index_shelf import Found, Shelf
from persistence.sqlite.newest_page import Wanted
from persistence.sqlite.recent import RecentPositions, marked
from persistence.sqlite.sections import KIND, Section
from persistence.sqlite.user_filter import maybe_of

FIRST_RUNS: Final = 4
"""Runs that are asked first; then twice as many each time."""
ASKS_MAX: Final = 1_024
"""Blocks that a question has in memory at a time, at least one of each ask."""
BLOCKS_MAX: Final = 32
NEWEST: Final = 1 << POSITION_BITS
_SKIP_BLOCKS: Final = 4
_FEW: Final = 8


class Place(NamedTuple):
    """Positions of a term from ``low`` on, below ``high``, at most ``limit``."""

    term: str
    low: int
    high: int
    limit: int


class Question:
    """One question.

    Args:
        shelf: has the runs.
        tails: what of the log is behind them, oldest first.
    """

    def __init__(self, shelf: Shelf, tails: Sequence[RecentPositions]) -> None:
        self.runs = tuple(shelf.runs)
        self.tails = tuple(tails)
        self.shelf = shelf
        self._needed = set[int]()

    def page(self, user: str, before: int, limit: int) -> Wanted:
        """What to read to have the user's newest rows before a position, at most ``limit``."""
        recent = list[int]()
        for tail in reversed(self.tails):
            positions = tail.of(user)
            end = bisect_left(positions, before)
            recent += positions[max(end - limit, 0) : end][::-1]
        runs = self._runs_of(Section.ROWS, Place(user, 0, before, limit))[::-1]
        return Wanted(user, before, limit, recent, runs, self.shelf.lost)

    async def walk(
        self, section: Section, places: Sequence[Place], *, newest: bool = False
    ) -> list[list[int]]:
        """The first positions of each place, or the last, newest first; raises as `Shelf.take`."""
        found = [list[int]() for _ in places]
        if newest:
            self._walk_tails(section, places, found, newest=newest)
        runs = [self._runs_of(section, place) for place in places]
        if newest:
            runs = [some[::-1] for some in runs]
        size = FIRST_RUNS
        while active := [
            at for at, place in enumerate(places) if runs[at] and len(found[at]) < place.limit
        ]:
            size = max(min(size, ASKS_MAX // len(active)), 1)
            asked = [(at, run) for at in active for run in runs[at][:size]]
            parts = await self._take(
                section,
                [(run, *_bounds(places[at])) for at, run in asked],
                1,  # it has all of a user, nearly always
                newest=newest,
            )
            for (at, run), part in zip(asked, parts, strict=True):
                place = places[at]
                if len(found[at]) < place.limit:
                    await self._add(section, place, run, part, found[at], newest=newest)
                runs[at].remove(run)
            size *= 2
        if not newest:
            self._walk_tails(section, places, found, newest=newest)
        return found

    def _walk_tails(
        self,
        section: Section,
        places: Sequence[Place],
        found: Sequence[list[int]],
        *,
        newest: bool,
    ) -> None:
        for place, some in zip(places, found, strict=True):
            for tail in reversed(self.tails) if newest else self.tails:
                _extend(some, place, _positions(tail, section, place.term), newest=newest)

    async def _add(
        self,
        section: Section,
        place: Place,
        run: Run,
        part: Found,
        found: list[int],
        *,
        newest: bool,
    ) -> None:
        """Add what a run has of a place, as far as it is wanted."""
        low, high = _bounds(place)
        while True:
            _extend(found, place, _positions(part, section, place.term), newest=newest)
            if len(found) == place.limit or isinstance(part, RecentPositions) or part.whole:
                return
            if newest:
                high = part.low
            else:
                low = part.high
            (part,) = await self._take(section, [(run, low, high)], BLOCKS_MAX, newest=newest)

    def _runs_of(self, section: Section, place: Place) -> list[Run]:
        """The runs that may have something of a place."""
        runs = [run for run in self.runs if run.last >= place.low and run.after + 1 < place.high]
        if section is Section.NOTICES:
            return runs
        user, _, _ = place.term.partition(KIND)
        return maybe_of(runs, self.shelf.filters, [user])

    async def marked(
        self, section: Section, user: str, marks: Collection[int], runs: Sequence[Run]
    ) -> list[int]:
        """Positions of a user in some runs that have one of these marks."""
        wanted, found = sorted(marks), list[int]()
        high = pair_bound(user, wanted[-1] + 1)
        maybe = maybe_of(runs, self.shelf.filters, [user])
        left = {run: pair_bound(user, wanted[0]) for run in maybe}
        blocks = 1 if len(wanted) <= _FEW else _SKIP_BLOCKS
        while left:
            asked = list(left.items())[: ASKS_MAX // _SKIP_BLOCKS]
            parts = await self._take(section, [(run, low, high) for run, low in asked], blocks)
            for (run, low), part in zip(asked, parts, strict=True):
                del left[run]
                if isinstance(part, RecentPositions):
                    users = part.users if section is Section.KEYS else part.ends
                    found += marked(users, user, marks)
                    continue
                for body in part.bodies:
                    numbers = numbers_of(body, user)
                    pairs = zip(numbers[::2], numbers[1::2], strict=True)
                    some = [(mark, seq) for mark, seq in pairs if mark in marks]
                    found += [seq for mark, seq in some if pair_bound(user, mark, seq) >= low]
                if not part.whole:
                    at = bisect_left(wanted, part.high, key=lambda mark: pair_bound(user, mark + 1))
                    while at < len(wanted) and pair_bound(user, wanted[at] + 1) <= part.high:
                        at += 1
                    if at < len(wanted):
                        left[run] = max(part.high, pair_bound(user, wanted[at]))
        return found

    async def later(self, terms: Mapping[str, int]) -> dict[str, list[int]]:
        """Of each term of `Section.KINDS`, the positions behind the one that it is given with."""
        found = {term: list[int]() for term in terms}
        if not terms:
            return found
        wanted = sorted(terms)
        first, high = min(terms.values()), behind(wanted[-1])
        runs = [run for run in self.runs if run.last > first]
        users = {term.partition(KIND)[0] for term in wanted}
        runs = maybe_of(runs, self.shelf.filters, users)
        left = {run: bound(wanted[0]) for run in runs}
        while left:
            asked = list(left.items())[: ASKS_MAX // _SKIP_BLOCKS]
            parts = await self._take(
                Section.KINDS, [(run, low, high) for run, low in asked], _SKIP_BLOCKS
            )
            for (run, _), part in zip(asked, parts, strict=True):
                del left[run]
                if isinstance(part, RecentPositions):
                    _add_later(part, terms, found)
                    continue
                for body in part.bodies:
                    entries = all_of(body)
                    for term in entries.keys() & terms.keys():
                        found[term] += entries[term]
                if not part.whole:
                    at = bisect_left(wanted, part.high, key=behind)
                    if at < len(wanted):
                        left[run] = max(part.high, bound(wanted[at]))
                await asyncio.sleep(0)
        for tail in self.tails:
            _add_later(tail, terms, found)
        return {
            term: sorted({seq for seq in some if seq > terms[term]}) for term, some in found.items()
        }

    async def over(self, after: tuple[int, int], until: int, limit: int) -> list[tuple[int, int]]:
        """The first ends behind one, with the rows that say them, up to ``until``; in order."""
        until, low = min(until, (1 << 63) - 1), max((after[0], after[1] + 1), (0, 0))
        if until < low[0]:
            return []
        found = [pair for tail in self.tails for pair in _over(tail, low, until, limit)]
        high = pair_bound("", until + 1)
        left, blocks = dict.fromkeys(self.runs, pair_bound("", *low)), 1
        while left:
            parts = await self._take(
                Section.OVER, [(run, begin, high) for run, begin in left.items()], blocks
            )
            blocks = _SKIP_BLOCKS
            for run, part in zip(tuple(left), parts, strict=True):
                begin = left.pop(run)
                if isinstance(part, RecentPositions):
                    found += _over(part, low, until, limit)
                    continue
                for body in part.bodies:
                    numbers = numbers_of(body, "")
                    pairs = zip(numbers[::2], numbers[1::2], strict=True)
                    found += [pair for pair in pairs if begin <= pair_bound("", *pair) < high]
                if not part.whole:
                    left[run] = part.high
            found = sorted(set(found))
            if len(found) >= limit:  # a run that is known beyond the last of them need not go on
                edge = pair_bound("", *found[limit - 1])
                left = {run: begin for run, begin in left.items() if begin <= edge}
        return sorted(found)[:limit]

    async def users(self, after: str, limit: int, prefix: str) -> list[str]:
        """The first users behind one that begin with a prefix, without the nameless one."""
        names = {name for tail in self.tails for name in tail.names.after(after, limit, prefix)}
        low = bound(prefix) if prefix > after else behind(after)
        high = prefix + "\U0010ffff" * 40
        left, blocks = dict.fromkeys(self.runs, low), 1
        while left:
            parts = await self._take(
                Section.ROWS, [(run, begin, high) for run, begin in left.items()], blocks
            )
            blocks = _SKIP_BLOCKS
            for run, part in zip(tuple(left), parts, strict=True):
                del left[run]
                if isinstance(part, RecentPositions):
                    await part.names.sort()
                    names |= set(part.names.after(after, limit, prefix))
                    continue
                some = [name for body in part.bodies for name in all_of(body)]
                names |= {name for name in some if name > after and name.startswith(prefix)}
                if not part.whole:
                    left[run] = max([part.high, *(behind(name) for name in some[-1:])])
                await asyncio.sleep(0)
            if len(names) >= limit:
                names = set(sorted(names)[:limit])
                edge = bound(max(names))
                left = {run: begin for run, begin in left.items() if begin <= edge}
        return sorted(names)[:limit]

    async def _take(
        self,
        section: Section,
        asked: Sequence[tuple[Run, str, str]],
        blocks: int,
        *,
        newest: bool = False,
    ) -> list[Found]:
        asks = [Ask(run, section, low, high, blocks, newest) for run, low, high in asked]
        return await self.shelf.take(asks, self._needed)


def _bounds(place: Place) -> tuple[str, str]:
    return bound(place.term, place.low), bound(place.term, place.high)


def _positions(part: Found, section: Section, term: str) -> Sequence[int]:
    """The positions that are there of a term."""
    if isinstance(part, Part):
        some = [numbers_of(body, term) for body in part.bodies]
        return some[0] if len(some) == 1 else [seq for numbers in some for seq in numbers]
    if section is Section.ROWS:
        return part.of(term)
    if section is Section.NOTICES:
        return part.notices
    user, _, kind = term.partition(KIND)
    return part.of_kind(user, kind)


def _extend(found: list[int], place: Place, numbers: Sequence[int], *, newest: bool) -> None:
    """Add those positions of a place that are behind, or before, the ones that it has."""
    low, high, room = place.low, place.high, place.limit - len(found)
    if found and newest:
        high = min(high, found[-1])
    elif found:
        low = max(low, found[-1] + 1)
    begin, end = bisect_left(numbers, low), bisect_left(numbers, high)
    if newest:
        found += numbers[max(end - room, begin) : max(end, begin)][::-1]
    else:
        found += numbers[begin : min(begin + room, end)]


def _add_later(
    tail: RecentPositions, terms: Mapping[str, int], found: Mapping[str, list[int]]
) -> None:
    for term in terms:
        user, _, kind = term.partition(KIND)
        found[term].extend(tail.of_kind(user, kind))


def _over(
    tail: RecentPositions, low: tuple[int, int], until: int, limit: int
) -> list[tuple[int, int]]:
    begin = bisect_left(tail.over, low[0] << POSITION_BITS | low[1])
    end = bisect_left(tail.over, until + 1 << POSITION_BITS)
    some = tail.over[begin : min(begin + limit, end)]
    return [(one >> POSITION_BITS, one & POSITION) for one in some]
