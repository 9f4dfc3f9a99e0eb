"""Reads that need rows of the log: they run off the loop, and later requests do not wait.

What a reply shows is decided when the request is handled: its position, and all that it takes
of the live state. When its task runs, later changes may be in, or those that it would show may
be lost; then it fails and the caller is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from actors.billing.periods import subscription
from actors.billing.periods.calendar import GRACE
from actors.billing.reports import alerts, usage_log
from actors.billing.reports.stats import summary, unknown_period
from actors.billing.state.account import Period, Raised
from actors.billing.state.snapshot import period_of
from actors.persistent.context import ActorContext
from actors.runtime.request import Request
from messages.codec import decode_event
from messages.reports import Alerts
from messages.stored.errors import UnreadableEvent, made_of
from messages.stored.events import (
    KIND,
    AlertsRead,
    Event,
    PeriodRolled,
    PeriodSealed,
    Subscribed,
)
from messages.subscriptions import RenewalEntry
from messages.units import to_datetime
from persistence.errors import ArchiveUnreadable, Corrupt
from persistence.journal import LogQueries
from persistence.records import Row

PAGE: Final = 500
HISTORY_MAX: Final = 100
"""Entries of a subscription's history that a reply shows."""


class Reading:
    """The rows of one user as of a position.

    Args:
        context: what actors share.
        user: the user id.
        seq: the newest position that replies reflect.
    """

    def __init__(self, context: ActorContext, user: str, seq: int) -> None:
        self._queries = context.queries
        self._flushed = context.writer.flushed()
        self._bytes_max = context.page_bytes_max
        self._user = user
        self._seq = seq

    async def old_stats(self, request: Request, key: str) -> bool:
        """Answer ``stats`` of a period that left the state."""
        await self._flushed
        period, _ = await self._sealed_as(key)
        if period is None:
            raise unknown_period(key)
        return _answered(request, summary(period, seq=self._seq))

    async def page(
        self,
        request: Request,
        wanted: usage_log.Filter,
        page: usage_log.Page,
        total: int | None,
        *,
        where: usage_log.Where,
        count_sealed: bool,
    ) -> bool:
        """Answer ``logs``.

        ``where`` is the period asked for; ``count_sealed``: count it, if it left the state.
        """
        await self._flushed
        key, known = wanted.billing_period, True
        if key is not None and where is usage_log.Where.ELSEWHERE:
            period, until = await self._sealed_as(key)
            known = period is not None
            page.before = min(page.before, until)  # no event of it is behind the row that sealed it
            if count_sealed:
                total = 0 if period is None else period.totals()[0]
        if not known:
            page.take([], last=True)
        elif wanted.event_id is not None:
            row = await self._queries.find(self._user, wanted.event_id)
            page.take([row] if row is not None and row.seq < page.before else [], last=True)
        elif key is not None and where is not usage_log.Where.CURRENT:
            await self._late(page, key)
        await self._fill(page)
        return _answered(request, page.reply(total, self._seq))

    async def _fill(self, page: usage_log.Page) -> None:
        """Give the page rows until it is full, or ends before a row that cannot be read.

        Raises:
            ArchiveUnreadable: nothing can be shown before a row of an archive.
            Corrupt: nothing can be shown before a damaged row.
            UnreadableEvent: as above.
        """
        most = usage_log.CHUNK
        while not page.full:
            count = min(page.rows_wanted(), most)
            try:
                rows = await self._queries.newest(self._user, page.before, count)
            except (ArchiveUnreadable, Corrupt):
                most = count // 2  # the rows before it may be all that is needed
                if most == 0 and page.empty:
                    raise
                if most == 0:
                    return
                continue
            try:
                page.take(rows, last=len(rows) < count)
            except UnreadableEvent:
                if page.empty:
                    raise
                return

    async def _late(self, page: usage_log.Page, key: str) -> None:
        """Look at what a closed period got after it was closed, and go on before that.

        These late events have something to publish, so they are found among the few rows that
        have: not among all that came in later periods.
        """
        closed_at = await self._closed_at(key, page.before)
        while closed_at < page.before and closed_at and not page.full:
            noticed = await self._queries.noticed(self._user, page.before, usage_log.CHUNK)
            behind = [row for row in noticed if row.seq > closed_at]
            page.take(behind, last=False)
            if len(behind) < usage_log.CHUNK and not page.full:
                page.before = closed_at

    async def _closed_at(self, key: str, before: int) -> int:
        """The position before ``before`` at which a period was closed, 0 if it was not."""
        async for row, event in events_of(self._queries, self._user, before - 1, PeriodRolled):
            assert isinstance(event, PeriodRolled)
            if event.closed is not None and event.closed.key == key:
                return row.seq
            if event.key == key:
                break
        return 0

    async def alerts(self, request: Request, ask: Alerts, unread: list[Raised]) -> bool:
        """Answer ``alerts`` with those that were read as well; ``unread`` match the period."""
        await self._flushed
        found = [
            raised
            async for raised in self._raised()
            if ask.billing_period in {None, raised.alert.billing_period}
        ]
        shown = found[: ask.limit or alerts.SHOWN]
        read_at = await self._read_at(shown[-1].seq) if shown else {}
        reply = alerts.alerts_reply(
            self._user, ask, found, unread, read_at, self._seq, self._bytes_max
        )
        return _answered(request, reply)

    async def raised_ids(self, wanted: list[str]) -> set[str]:
        """Which of these alerts were ever raised."""
        await self._flushed
        left, found = set(wanted), set[str]()
        async for raised in self._raised():
            if raised.alert.id in left:
                found.add(raised.alert.id)
                if found == left:
                    break
        return found

    async def sealed(self, count: int) -> list[Period]:
        """Periods that left the state, in the order in which they did.

        The ``count`` that begin last are among them, whatever overlaps.
        """
        await self._flushed
        found: list[Period] = []
        async for row, event in self._events(PeriodSealed):
            assert isinstance(event, PeriodSealed)
            # This one and all before it had ended a grace before their rows.
            if sum(period.start >= row.at - GRACE for period in found) >= count:
                break
            found.append(_period(row, event))
        return found[::-1]

    async def renewals(self) -> tuple[RenewalEntry, ...]:
        """The subscription's history, newest first."""
        await self._flushed
        found: list[RenewalEntry] = []
        for kind in (Subscribed, PeriodRolled):
            entries = 0
            async for row, event in self._events(kind):
                with made_of(row.kind, row.seq):
                    entry = subscription.renewal_of(event, row.at, row.seq)
                if entry is not None:
                    found.append(entry)
                    entries += 1
                    if entries == HISTORY_MAX:
                        break
        found.sort(key=lambda entry: entry.seq, reverse=True)
        return tuple(found[:HISTORY_MAX])

    async def _raised(self) -> AsyncIterator[Raised]:
        """All alerts, newest first."""
        before = self._seq + 1
        while rows := await self._queries.noticed(self._user, before, PAGE):
            for row in rows:
                with made_of(row.kind, row.seq):
                    found = alerts.raised_by_row(_event(row), row.at, row.seq)
                for raised in found:
                    yield raised
            before = rows[-1].seq

    async def _read_at(self, after: int) -> dict[str, int]:
        """When alerts were read, by rows behind position ``after``."""
        found: dict[str, int] = {}
        async for row, event in self._events(AlertsRead):
            assert isinstance(event, AlertsRead)
            if row.seq < after:
                break
            found.update(dict.fromkeys(event.ids, row.at))
        return found

    def _events(self, kind: type[Event]) -> AsyncIterator[tuple[Row, Event]]:
        return events_of(self._queries, self._user, self._seq, kind)

    async def _sealed_as(self, key: str) -> tuple[Period | None, int]:
        return await sealed_as(self._queries, self._user, self._seq, key)


async def sealed_as(
    queries: LogQueries, user: str, seq: int, key: str
) -> tuple[Period | None, int]:
    """A period that left the user's state, and the position of the row that sealed it."""
    async for row, event in events_of(queries, user, seq, PeriodSealed):
        assert isinstance(event, PeriodSealed)
        if event.totals.key == key:
            return _period(row, event), row.seq
    return None, 0


async def events_of(
    queries: LogQueries, user: str, seq: int, kind: type[Event]
) -> AsyncIterator[tuple[Row, Event]]:
    """The user's events of a rare kind up to a position, newest first."""
    before = seq + 1
    while rows := await queries.newest(user, before, PAGE, KIND[kind]):
        for row in rows:
            yield row, _event(row)
        before = rows[-1].seq


def _event(row: Row) -> Event:
    return decode_event(row.kind, row.body, row.seq)


def _period(row: Row, event: PeriodSealed) -> Period:
    with made_of(row.kind, row.seq):
        period = period_of(event.totals)
        for moment in (period.start, period.end):  # replies show them
            to_datetime(moment)
        return period


def _answered(request: Request, reply: object) -> bool:
    request.prepare(reply)
    request.durable()
    return False
