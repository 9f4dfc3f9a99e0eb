"""The actor of one user: it holds the live state and takes requests in order.

`handle` is synchronous. It decides (pure), applies the events, prepares the reply and appends
the rows as its last step: whatever fails before leaves nothing behind in the log, and the
registry recovers the actor. The reply leaves when the rows are durable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from actors.billing import logs as pages
from actors.billing import snapshot as snapshots
from actors.billing.catalog import Catalog
from actors.billing.duplicates import original
from actors.billing.enforce import enforce
from actors.billing.notices import notifies
from actors.billing.snapshot import period_of
from actors.billing.state import Account, Period, apply
from actors.billing.stats import current_of, find_period, stats, summary, unknown_period
from actors.billing.track import Recorded, due, reset, reset_reply, track, track_reply
from actors.clock import Clock
from actors.runtime.registry import Detour
from actors.runtime.request import Request
from messages.codec import decode_event, encode_event
from messages.commands import Enforce, Logs, Reset, Stats, Track
from messages.errors import RequestError
from messages.events import KIND, CountersReset, Event, PeriodSealed, UsageRecorded
from messages.replies import ResetReply
from messages.subjects import encode_user, partition_of
from persistence.errors import Corrupt, NotStored
from persistence.journal import Journal, Row, Snapshot
from persistence.keys import KeyFilter
from persistence.writer import Writer

HISTORY_PAGE: Final = 1_000
PASSIVATION_EVENTS: Final = 16
"""A passive user's state is not written for fewer events: replaying them costs less."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """What all actors share."""

    journal: Journal
    writer: Writer
    keys: KeyFilter
    catalog: Catalog
    clock: Clock
    snapshot_events: int
    page_bytes_max: int = pages.PAGE_BYTES_MAX


class UserActor:
    """One user's state and the requests on it."""

    __slots__ = ("_account", "_partition", "_services", "_unsaved")

    def __init__(self, account: Account, services: Services, unsaved: int = 0) -> None:
        self._account = account
        self._services = services
        self._unsaved = unsaved  # events since the newest snapshot
        self._partition = partition_of(encode_user(account.user))

    def handle(self, request: Request) -> Detour | None:
        """Take one request. See the module's docstring.

        Raises:
            RequestError: the request is refused; nothing of it happened.
        """
        services, account = self._services, self._account
        now = services.clock.now()
        if request.deadline is not None and request.deadline < now:
            raise RequestError("deadline_exceeded", "not executed: its deadline had passed")
        if not services.writer.accepting:
            raise RequestError("unavailable", "not executed: behind a failed write")
        key = request.key
        if (
            key is not None
            and not request.key_is_new
            and not services.keys.surely_new(account.user, key)
        ):
            return Detour(self._look_up(request, key), blocks=True)
        at = max(now, account.at)
        if account.current is not None and account.current.end <= at:
            self._append(due(account, at, services.catalog), at)
        match request.command:
            case Track() as call:
                self._record(request, track(account, call, at, services.catalog), at)
            case Enforce() as ask:
                period = current_of(account, at, services.catalog)
                reply = enforce(period, ask, at, services.catalog, account.seq)
                self._answer(request, reply)
            case Reset() as command:
                self._reset(request, command, at)
            case Stats() as ask:
                return self._stats(request, ask, at)
            case Logs() as ask:
                return self._logs(request, ask)
            case command:
                raise TypeError(f"no handler for {type(command).__name__}")
        return None

    def quiescent(self) -> bool:
        """Whether everything that the state reflects is durable."""
        return self._account.seq <= self._services.writer.durable

    def snapshot(self) -> None:
        """Have the state written, where replaying the rest of the log would cost more."""
        if self._unsaved >= PASSIVATION_EVENTS:
            self._save()

    # -- changes

    def _record(self, request: Request, recorded: Recorded, at: int) -> None:
        """Apply and append a change, and prepare its reply."""
        key = request.key
        assert key is not None
        last = self._services.writer.next_seq + len(recorded.events) - 1
        event = recorded.events[-1]
        if isinstance(event, UsageRecorded):
            request.payload = track_reply(event, key, last)
        else:
            assert isinstance(event, CountersReset)
            request.prepare(reset_reply(event, key, last))
        personal = None if recorded.personal is None else encode_event(recorded.personal)
        self._append(recorded.events, at, request, personal)
        self._services.keys.add(self._account.user, key)
        if self._unsaved >= self._services.snapshot_events:
            self._save()

    def _reset(self, request: Request, command: Reset, at: int) -> None:
        recorded = reset(self._account, command)
        if recorded is not None:
            self._record(request, recorded, at)
            return
        assert request.key is not None
        period = current_of(self._account, at, self._services.catalog)
        refused = ResetReply(
            reset=False,
            counters_reset=False,
            reason="no_summary",
            billing_period=period.key,
            event_id=request.key,
            seq=self._account.seq,
        )
        self._answer(request, refused)

    def _append(
        self,
        events: Sequence[Event],
        at: int,
        request: Request | None = None,
        personal: str | None = None,
    ) -> None:
        """Apply events and append their rows; the key and personal fields go with the last."""
        writer, account = self._services.writer, self._account
        seq, last = writer.next_seq, writer.next_seq + len(events) - 1
        rows: list[Row] = []
        for event in events:
            key = about = None
            if seq == last and request is not None:
                key, about = request.key, personal
            body, notify = encode_event(event), notifies(event)
            kind = KIND[type(event)]
            rows.append(Row(seq, self._partition, account.user, key, kind, at, notify, body, about))
            apply(account, event, at, seq)
            seq += 1
        self._unsaved += len(rows)
        writer.append(rows, request)

    # -- a key that may be known

    async def _look_up(self, request: Request, key: str) -> bool:
        """Answer a duplicate from its row; True where the key turns out to be new."""
        # The original may be in flight: after this its row is on disk.
        await _stored(self._services.writer.settle())
        row = await self._services.journal.find(self._account.user, key)
        if row is None:
            request.key_is_new = True
            return True
        event = decode_event(row.kind, row.body)
        request.payload = original(
            request.command, event, row.personal, key, row.seq, self._services.catalog
        )
        request.durable()
        return False

    # -- reads

    def _answer(self, request: Request, reply: object) -> None:
        """Answer when all that the reply reflects is durable."""
        request.prepare(reply)
        self._services.writer.after(self._account.seq, request)

    def _stats(self, request: Request, ask: Stats, at: int) -> Detour | None:
        period = find_period(self._account, ask, at, self._services.catalog)
        if period is None:
            assert ask.billing_period is not None
            settled = self._services.writer.barrier()
            work = self._old_stats(request, ask.billing_period, self._account.seq, settled)
            return Detour(work, blocks=False)
        self._answer(request, stats(self._account, period))
        return None

    async def _old_stats(
        self, request: Request, key: str, seq: int, settled: Awaitable[bool]
    ) -> bool:
        await _stored(settled)
        period = await self._sealed(key, seq)
        if period is None:
            raise unknown_period(key)
        request.prepare(summary(period, seq=seq))
        request.durable()
        return False

    def _logs(self, request: Request, ask: Logs) -> Detour:
        # What the page shows is decided here: when its task runs, later changes may be in, or
        # those that it would show may be lost.
        seq, settled = self._account.seq, self._services.writer.barrier()
        wanted = pages.filter_of(ask, self._services.catalog)
        before, total = seq + 1, None
        if ask.cursor:
            before = pages.read_cursor(ask.cursor, wanted)
        else:
            total = pages.total_of(self._account, wanted)
        page = pages.Page(wanted, ask.limit or pages.PAGE, before, self._services.page_bytes_max)
        sealed = not ask.cursor and total is None and wanted.only_period()
        work = self._page(request, wanted, page, seq, total, settled, sealed=sealed)
        return Detour(work, blocks=False)

    async def _page(
        self,
        request: Request,
        wanted: pages.Filter,
        page: pages.Page,
        seq: int,
        total: int | None,
        settled: Awaitable[bool],
        *,
        sealed: bool,
    ) -> bool:
        """Answer ``logs`` from the rows up to ``seq``; ``sealed``: the period left the state."""
        await _stored(settled)
        if sealed:
            period = await self._sealed(wanted.billing_period or "", seq)
            total = 0 if period is None else period.totals()[0]
        journal, user = self._services.journal, self._account.user
        if wanted.event_id is not None:
            row = await journal.find(user, wanted.event_id)
            page.take([row] if row is not None and row.seq < page.before else [], last=True)
        while not page.full:
            rows = await journal.newest(user, page.before, pages.CHUNK)
            page.take(rows, last=len(rows) < pages.CHUNK)
        request.prepare(page.reply(total, seq))
        request.durable()
        return False

    async def _sealed(self, key: str, seq: int) -> Period | None:
        """A period that left the state, from the row that sealed it."""
        before = seq + 1
        while rows := await self._services.journal.newest(
            self._account.user, before, HISTORY_PAGE, KIND[PeriodSealed]
        ):
            for row in rows:
                event = decode_event(row.kind, row.body)
                if isinstance(event, PeriodSealed) and event.totals.key == key:
                    return period_of(event.totals)
            before = rows[-1].seq
        return None

    def _save(self) -> None:
        account = self._account
        body = snapshots.encode(account)
        self._services.writer.offer(
            Snapshot(self._partition, account.user, account.seq, snapshots.SCHEMA, body)
        )
        self._unsaved = 0


async def _stored(settled: Awaitable[bool]) -> None:
    """Wait until what was appended is durable.

    Raises:
        NotStored: some of it was lost, so what the actor knows is ahead of the log.
    """
    if not await settled:
        raise NotStored("behind a failed write")


async def recover(user: str, services: Services) -> UserActor:
    """Load a user's actor: the newest usable snapshot, then the rows after it.

    Raises:
        Unavailable: the log cannot be read now.
        Corrupt: a row cannot be read.
    """
    account, unsaved = await _start(user, services), 0
    while True:
        rows = await services.journal.history(user, account.seq, HISTORY_PAGE)
        for row in rows:
            try:
                event = decode_event(row.kind, row.body)
            except (KeyError, msgspec.DecodeError) as error:
                raise Corrupt(f"row {row.seq} ({row.kind}) cannot be read: {error}") from error
            apply(account, event, row.at, row.seq)
        unsaved += len(rows)
        if len(rows) < HISTORY_PAGE:
            return UserActor(account, services, unsaved)


async def _start(user: str, services: Services) -> Account:
    """The state of the user's snapshot; an empty one where it cannot be used."""
    stored = await services.journal.snapshot(user)
    if stored is None:
        return Account(user)
    if stored.schema != snapshots.SCHEMA or stored.seq > services.writer.durable:
        _log.warning("snapshot_ignored", user=user, schema=stored.schema, seq=stored.seq)
        return Account(user)
    try:
        account = snapshots.decode(user, stored.body)
    except (KeyError, TypeError, ValueError) as error:  # DecodeError is a ValueError
        _log.warning("snapshot_unreadable", user=user, seq=stored.seq, error=str(error))
        return Account(user)
    if account.seq != stored.seq:
        _log.warning("snapshot_unreadable", user=user, seq=stored.seq, error="another position")
        return Account(user)
    return account
