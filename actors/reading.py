"""Reads that need rows of the log: they run off the loop, and later requests do not wait.

What a reply shows is decided when the request is handled: its position, and all that it takes
of the live state. When its task runs, later changes may be in, or those that it would show may
be lost; then it fails and the caller is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Final

from actors.billing import inbox
from actors.billing import logs as pages
from actors.billing.account import Period, Raised
from actors.billing.snapshot import period_of
from actors.billing.stats import summary, unknown_period
from actors.runtime.request import Request
from actors.services import Services
from messages.codec import decode_event
from messages.commands import Alerts
from messages.events import KIND, AlertsRead, Event, PeriodRolled, PeriodSealed, Subscribed
from messages.replies import RenewalEntry
from persistence.errors import NotStored
from persistence.journal import Journal, Row

PAGE: Final = 500
HISTORY_MAX: Final = 100
"""Entries of a subscription's history that a reply shows."""


async def stored(settled: Awaitable[bool]) -> None:
    """Wait until what was appended is durable.

    Raises:
        NotStored: some of it was lost, so what the actor knows is ahead of the log.
    """
    if not await settled:
        raise NotStored("behind a failed write")


class Reading:
    """The rows of one user as of a position.

    Args:
        services: what actors share.
        user: the user id.
        seq: the newest position that replies reflect.
    """

    def __init__(self, services: Services, user: str, seq: int) -> None:
        self._journal = services.journal
        self._settled = services.writer.barrier()
        self._user = user
        self._seq = seq

    async def old_stats(self, request: Request, key: str) -> bool:
        """Answer ``stats`` of a period that left the state."""
        await stored(self._settled)
        period, _ = await self._sealed_as(key)
        if period is None:
            raise unknown_period(key)
        return _answered(request, summary(period, seq=self._seq))

    async def page(
        self,
        request: Request,
        wanted: pages.Filter,
        page: pages.Page,
        total: int | None,
        *,
        count_sealed: bool,
    ) -> bool:
        """Answer ``logs``; ``count_sealed``: of the period asked for, which left the state."""
        await stored(self._settled)
        if wanted.billing_period is not None:
            period, until = await self._sealed_as(wanted.billing_period)
            if period is not None:  # no event is in it behind the row that sealed it
                page.before = min(page.before, until)
            if count_sealed:
                total = 0 if period is None else period.totals()[0]
        if wanted.event_id is not None:
            row = await self._journal.find(self._user, wanted.event_id)
            page.take([row] if row is not None and row.seq < page.before else [], last=True)
        while not page.full:
            rows = await self._journal.newest(self._user, page.before, pages.CHUNK)
            page.take(rows, last=len(rows) < pages.CHUNK)
        return _answered(request, page.reply(total, self._seq))

    async def alerts(self, request: Request, ask: Alerts, unread: list[Raised]) -> bool:
        """Answer ``alerts`` with those that were read as well; ``unread`` match the period."""
        await stored(self._settled)
        found = [
            raised
            async for raised in self._raised()
            if ask.billing_period in {None, raised.alert.billing_period}
        ]
        shown = found[: ask.limit or inbox.SHOWN]
        read_at = await self._read_at(shown[-1].seq) if shown else {}
        reply = inbox.alerts_reply(self._user, ask, found, unread, read_at, self._seq)
        return _answered(request, reply)

    async def raised_ids(self, wanted: list[str]) -> set[str]:
        """Which of these alerts were ever raised."""
        await stored(self._settled)
        left, found = set(wanted), set[str]()
        async for raised in self._raised():
            if raised.alert.id in left:
                found.add(raised.alert.id)
                if found == left:
                    break
        return found

    async def sealed(self, count: int) -> list[Period]:
        """The newest ``count`` periods that left the state, in the order in which they did."""
        await stored(self._settled)
        found: list[Period] = []
        async for _, event in self._events(PeriodSealed):
            assert isinstance(event, PeriodSealed)
            found.append(period_of(event.totals))
            if len(found) == count:
                break
        return found[::-1]

    async def renewals(self) -> tuple[RenewalEntry, ...]:
        """The subscription's history, newest first."""
        await stored(self._settled)
        found: list[RenewalEntry] = []
        for kind in (Subscribed, PeriodRolled):
            entries = 0
            async for row, event in self._events(kind):
                entry = inbox.renewal_of(event, row.at, row.seq)
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
        while rows := await self._journal.noticed(self._user, before, PAGE):
            for row in rows:
                for raised in inbox.raised_by_row(_event(row), row.at, row.seq):
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
        return events_of(self._journal, self._user, self._seq, kind)

    async def _sealed_as(self, key: str) -> tuple[Period | None, int]:
        return await sealed_as(self._journal, self._user, self._seq, key)


async def sealed_as(journal: Journal, user: str, seq: int, key: str) -> tuple[Period | None, int]:
    """A period that left the user's state, and the position of the row that sealed it."""
    async for row, event in events_of(journal, user, seq, PeriodSealed):
        assert isinstance(event, PeriodSealed)
        if event.totals.key == key:
            return period_of(event.totals), row.seq
    return None, 0


async def events_of(
    journal: Journal, user: str, seq: int, kind: type[Event]
) -> AsyncIterator[tuple[Row, Event]]:
    """The user's events of a rare kind up to a position, newest first."""
    before = seq + 1
    while rows := await journal.newest(user, before, PAGE, KIND[kind]):
        for row in rows:
            yield row, _event(row)
        before = rows[-1].seq


def _event(row: Row) -> Event:
    return decode_event(row.kind, row.body)


def _answered(request: Request, reply: object) -> bool:
    request.prepare(reply)
    request.durable()
    return False
