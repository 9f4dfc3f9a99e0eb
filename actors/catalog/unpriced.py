"""``catalog.prices.unpriced``: models whose calls were charged without a price of their own.

Nothing is kept for it: the log is looked at from its newest row back, stretch by stretch, off the
loop. The pages of a list look at the same rows of the log, which do not change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from hashlib import blake2b
from heapq import merge
from itertools import islice
from typing import Any, Final, NamedTuple, Self

import msgspec

from actors.billing.catalog.pages import cursor_of, read_cursor
from actors.catalog.unpriced_sums import LUMP, MARKS, Model, Sums
from actors.persistent.context import ActorContext
from actors.persistent.in_turns import fitting_in_turns
from actors.runtime.request import Request
from messages.codec import decode_event
from messages.errors import RequestError
from messages.prices import (
    PricesUnpriced,
    UnpricedReply,
)
from messages.stored.errors import UnreadableEvent, made_of
from messages.stored.events import KIND, UsageRecorded
from messages.units import MICROS_PER_SECOND, to_datetime, to_micros
from persistence.damage import tell
from persistence.journal import LogQueries
from persistence.records import Row

PAGE: Final = 50
LOOKED_AT_MAX: Final = 2_000_000
"""Positions that a list looks at, the newest ones. A million takes a second, 3 s if they are in
archives, and 8 s if all are of calls to be listed: a list takes seconds, and not minutes."""
STRETCH: Final = 2_048
"""Positions that are looked at in one read, behind which others have theirs: 5 ms, and 18 ms if
all are of calls to be listed."""
TURN: Final = 64
"""Calls that are summed up before the loop gets a turn: half a millisecond."""
LOOK_S: Final = 10
"""How long the first page looks, unless its deadline is earlier; a later one may take twice as
long, since it has to look at as much."""
OF_DEADLINE: Final = (4, 5)
"""The part of the time until its deadline that the first page looks; the rest is for its answer."""
BUSY_S: Final = 1.0
"""After how long a caller may ask again while another list is made."""
COMPLETE: Final = 0
_LATEST: Final = 253_402_300_799_999_999
"""The last moment that can be said: the end of the year 9999."""
_USAGE: Final = KIND[UsageRecorded]


class Range(NamedTuple):
    """The rows of the log that all pages of a list look at.

    Attributes:
        first: the position of the first one.
        last: that of the last one.
        complete_since: calls that arrived before this moment may be in none of them, in
            microseconds; `COMPLETE` if no call is missing.
    """

    first: int
    last: int
    complete_since: int


class _Place(NamedTuple):
    """Where a page begins, as its cursor has it: the range, and how many rows are before it."""

    first: int
    last: int
    complete_since: int
    shown: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Read the text of a cursor.

        Raises:
            ValueError: it has no place.
        """
        found = cls(*map(int, text.split(".")))
        if min(found) < 0 or found.first > found.last + 1:
            raise ValueError("no range")
        try:
            to_datetime(found.complete_since)
        except OverflowError as error:
            raise ValueError("no moment") from error
        return found

    def __str__(self) -> str:
        return ".".join(map(str, self))


async def list_unpriced(context: ActorContext, request: Request, ask: PricesUnpriced) -> bool:
    """Answer with a page of the models that have no price of their own.

    Raises:
        RequestError: ``invalid_request`` for another's cursor; ``overloaded`` while another list
            is made; ``deadline_exceeded`` if a later page cannot look at all that its first did.
        JournalError: the log cannot be read; a row that cannot be read is no error.
    """
    since = None if ask.since is None else to_micros(ask.since)
    digest = blake2b(msgspec.json.encode(["unpriced", since]), digest_size=6).hexdigest()
    place = read_cursor(ask.cursor, digest, _read_place) if ask.cursor else None
    if context.looking_for_unpriced.locked():
        why = "not executed: another list of unpriced models is being made"
        raise RequestError("overloaded", why, retry_after=BUSY_S)
    async with context.looking_for_unpriced:
        look = _Look(context.queries, request, since)
        found = await look.at(context.writer.durable, place)
    shown = 0 if place is None else min(place.shown, len(look.sums))
    models = islice(await _behind(look.sums, shown), ask.limit or PAGE)
    rows: tuple[Any, ...] = tuple(
        await fitting_in_turns(map(look.sums.entry, models), context.page_bytes_max)
    )
    last = shown + len(rows) >= len(look.sums)
    complete = found.complete_since == COMPLETE
    reply = UnpricedReply(
        rows=rows,
        next_cursor=None if last else cursor_of(str(_Place(*found, shown + len(rows))), digest),
        complete_since=None if complete else to_datetime(found.complete_since),
        unread=look.unread,
        seq=found.last,
    )
    request.prepare(reply)
    request.durable()
    return False


async def _behind(sums: Sums, shown: int) -> Iterator[Model]:
    """The models behind the first ones, in order."""
    lumps = []
    for lump in sums.lumps():
        lumps.append(lump)
        await asyncio.sleep(0)  # other requests wait for the loop
    models = (model for _, model in merge(*lumps))
    for count, _ in enumerate(islice(models, shown), 1):
        if count % LUMP == 0:
            await asyncio.sleep(0)
    return models


def _read_place(text: str) -> _Place:
    try:
        return _Place.read(text)
    except TypeError as error:  # too few numbers, or too many
        raise ValueError("no place") from error


class _Look:
    """One look at the log.

    Args:
        queries: reads the log.
        request: whose deadline it heeds.
        since: calls before this moment are left out.

    Attributes:
        sums: of what was found.
        unread: rows that may have been such calls and cannot be read.
    """

    def __init__(self, queries: LogQueries, request: Request, since: int | None) -> None:
        self.sums = Sums(since)
        self.unread = 0
        self._queries = queries
        self._request = request
        self._since = since

    async def at(self, newest: int, place: _Place | None) -> Range:
        """Look at the newest rows, or at those of the first page; which rows these are.

        Args:
            newest: the newest position.
            place: of a later page.
        """
        last = newest if place is None else min(place.last, newest)
        floor = max(last - LOOKED_AT_MAX, 0 if place is None else place.first - 1, 0)
        until = self._until(later=place is not None)
        end, complete_since = await self._back(last, floor, until, stops=place is None)
        if place is not None:
            return Range(place.first, last, place.complete_since)
        return Range(end + 1, last, complete_since)

    async def _back(self, last: int, floor: int, until: int, *, stops: bool) -> tuple[int, int]:
        """Look back from a position; behind which one the look ended, and `Range.complete_since`.

        ``stops``: if time is over, what was found counts; else that is an error.
        """
        position, known = last, self._request.replies.now()
        while position > floor:
            begin = max(position - STRETCH, floor)
            found = await self._queries.marked(_USAGE, MARKS, begin, position)
            self.unread += found.unread
            known = known if found.latest is None else _told(found.latest + 1)
            full_at = await self._sum_up(found.rows)
            if full_at is not None:
                return full_at.seq, _told(full_at.at + 1)
            position = begin
            if self._since is not None and known <= self._since:
                return position, COMPLETE  # what is before arrived before that
            if position > floor and self._request.replies.now() > until:
                if stops:
                    break
                why = "to look at the log took until the deadline: ask for less, by since"
                raise RequestError("deadline_exceeded", why)
        return position, known if position else COMPLETE

    async def _sum_up(self, rows: list[Row]) -> Row | None:
        """Add calls, newest first; the first one for which there is no room, if any."""
        for count, row in enumerate(reversed(rows), 1):
            if count % TURN == 0:
                await asyncio.sleep(0)  # other requests wait for the loop
            try:
                event = decode_event(row.kind, row.body, row.seq)
                assert isinstance(event, UsageRecorded)
                with made_of(row.kind, row.seq):
                    if not self.sums.take(event, row.user, row.at):
                        return row
            except UnreadableEvent as error:
                self.unread += 1
                tell(error, row.user)
        return None

    def _until(self, *, later: bool) -> int:
        """When the look ends, in microseconds."""
        now, deadline = self._request.replies.now(), self._request.deadline
        if later:
            return deadline or now + 2 * LOOK_S * MICROS_PER_SECOND
        until = now + LOOK_S * MICROS_PER_SECOND
        part, of = OF_DEADLINE
        return until if deadline is None else min(until, now + (deadline - now) * part // of)


def _told(moment: int) -> int:
    """A moment of a row, as a reply can say it."""
    return min(max(moment, 1), _LATEST)
