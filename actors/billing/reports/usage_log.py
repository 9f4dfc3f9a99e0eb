"""A page of the usage log: filters, cursors and entries. Reads rows that others fetch.

A walk goes strictly down in ``seq`` from the newest event of its first page, so it shows each
event once and none that came later. One page looks at a bounded number of rows: a filter
that matches few of them gives short pages with a cursor, never a slow one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from enum import Enum, auto
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

import msgspec

from actors.billing.catalog.catalog import Catalog
from actors.billing.paging import BYTES_MAX
from actors.billing.periods.calendar import AHEAD
from actors.billing.state.account import Account, logged
from actors.billing.usage.detail import found_of, outcome_of, variant_priced_of
from messages.codec import decode_event, decode_personal, encode_reply, usage_marks
from messages.errors import InvalidRequest
from messages.quantities import quantities
from messages.reports import LogEntry, Logs, LogsReply
from messages.scalars import INCLUSIVE
from messages.stored.detail import NO_DETAIL
from messages.stored.errors import MISFITS, UnreadableEvent
from messages.stored.events import (
    KIND,
    PeriodAdded,
    PeriodRolled,
    Personal,
    UsageRecorded,
)
from messages.units import to_datetime, to_micros, usd

PAGE: Final = 50
PAGE_BYTES_MAX: Final = BYTES_MAX
CHUNK: Final = 500
"""Rows that are fetched at once, at the most."""
FEW: Final = 20
"""Fewer are not worth a read."""
SCANNED_MAX: Final = 2_500
"""Rows that one page looks at."""

_NOTHING: Final = Personal()
_OPENINGS: Final = frozenset({KIND[PeriodRolled], KIND[PeriodAdded]})


class LoggedRow(Protocol):
    """What a page reads of a row of the log."""

    @property
    def seq(self) -> int:
        """Its position in the log."""
        ...

    @property
    def key(self) -> str | None:
        """The idempotency key."""
        ...

    @property
    def kind(self) -> str:
        """The kind of event."""
        ...

    @property
    def at(self) -> int:
        """When it took effect, in microseconds."""
        ...

    @property
    def body(self) -> str:
        """The event as JSON text."""
        ...

    @property
    def personal(self) -> str | None:
        """The personal fields as JSON text."""
        ...


class Where(Enum):
    """Where a user has a period: `CURRENT`, `CLOSED` in the live state, or not in that."""

    CURRENT = auto()
    CLOSED = auto()
    ELSEWHERE = auto()


class Filter(NamedTuple):
    """What a page shows; instants in microseconds."""

    provider: str | None
    status_code: int | None
    billing_period: str | None
    event_id: str | None
    since: int | None
    until: int | None
    model: str | None = None
    key: str | None = None
    outcome: str | None = None
    tags: tuple[tuple[str, str], ...] = ()

    def digest(self) -> str:
        """What binds a cursor to its filters."""
        parts = self if self[_FIRST:] != _ALL[_FIRST:] else self[:_FIRST]  # as it was before
        return blake2b(msgspec.json.encode(parts), digest_size=6).hexdigest()

    def matches(self, event: UsageRecorded, at: int) -> bool:
        """Whether the page shows the event (``event_id`` is looked up, not scanned for)."""
        moment = at if event.timestamp is None else event.timestamp
        return (
            (self.provider is None or event.provider == self.provider)
            and (self.status_code is None or event.status_code == self.status_code)
            and (self.billing_period is None or event.billing_period == self.billing_period)
            and (self.since is None or moment >= self.since)
            and (self.until is None or moment < self.until)
            and (self.model is None or event.model == self.model)
            and (self.outcome is None or outcome_of(event) == self.outcome)
            and (self.key is None or (event.detail or NO_DETAIL).key == self.key)
            and (not self.tags or self._has_tags(event))
        )

    def _has_tags(self, event: UsageRecorded) -> bool:
        tags = (event.detail or NO_DETAIL).tags or {}
        return all(tags.get(name) == value for name, value in self.tags)

    def marks(self) -> list[tuple[str, str]]:
        """Texts of which the stored form of every event that matches has one of each pair."""
        wanted = {
            "provider": self.provider,
            "model": self.model,
            "billing_period": self.billing_period,
        }
        return [usage_marks(field, text) for field, text in wanted.items() if text is not None]

    def only_period(self) -> bool:
        """Whether ``billing_period`` is all that is asked for."""
        return self.billing_period is not None and self._replace(billing_period=None) == _ALL

    def ended(self, at: int) -> bool:
        """Whether no event that arrived at ``at`` or before can match any more."""
        return self.since is not None and at + AHEAD < self.since


_ALL: Final = Filter(None, None, None, None, None, None)
_FIRST: Final = 6
"""So many filters are in a digest even if they are not asked for: once there were no others."""


def filter_of(ask: Logs, catalog: Catalog) -> Filter:
    """The filter of a request.

    Raises:
        RequestError: ``unknown_provider``.
    """
    return Filter(
        provider=None if ask.provider is None else catalog.providers.find(ask.provider).id,
        status_code=ask.status_code,
        billing_period=ask.billing_period,
        event_id=ask.event_id,
        since=None if ask.since is None else to_micros(ask.since),
        until=None if ask.until is None else to_micros(ask.until),
        model=ask.model_used,
        key=ask.key,
        outcome=ask.outcome,
        tags=tuple(sorted((ask.tags or {}).items())),
    )


def total_of(account: Account, wanted: Filter) -> int | None:
    """How many events the whole filter has, if the live state knows it without a scan."""
    if wanted._replace(provider=None, billing_period=None) != _ALL:
        return None
    if wanted.provider is not None and wanted.billing_period is not None:
        return None
    if wanted.provider is not None:
        return logged(account).get(wanted.provider, 0)
    if wanted.billing_period is not None:
        period = account.period(wanted.billing_period)
        return None if period is None else period.totals()[0]
    return sum(logged(account).values())


def where_is(account: Account, key: str | None) -> Where:
    """Where the user has the period of a key."""
    if account.current is not None and account.current.key == key:
        return Where.CURRENT
    closed = any(period.key == key for period in account.closed)
    return Where.CLOSED if closed else Where.ELSEWHERE


def cursor_of(before: int, wanted: Filter) -> str:
    """An opaque cursor: go on with events before ``before``, under the same filters."""
    return base64.urlsafe_b64encode(f"{before}:{wanted.digest()}".encode()).decode().rstrip("=")


def read_cursor(cursor: str, wanted: Filter) -> int:
    """The position that a cursor goes on before.

    Raises:
        InvalidRequest: not a cursor, or one of other filters.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        before, _, digest = base64.b64decode(padded, b"-_", validate=True).decode().partition(":")
        position = int(before) if before.isascii() and before.isdigit() else 0
    except (binascii.Error, UnicodeDecodeError, ValueError):
        position, digest = 0, ""
    if not 0 < position < 2**63:
        raise InvalidRequest("cursor is not one of meterd's", "cursor")
    if digest != wanted.digest():
        raise InvalidRequest("cursor belongs to a request with other filters", "cursor")
    return position


class Page:
    """Collects the entries of one page from rows that come newest first.

    Attributes:
        before: rows at or after this position are done with.
        full: whether the page needs no more rows.
    """

    def __init__(
        self, wanted: Filter, limit: int, before: int, bytes_max: int | None = None
    ) -> None:
        self.before = before
        self.full = False
        self._wanted = wanted
        self._limit = limit
        self._bytes_max = PAGE_BYTES_MAX if bytes_max is None else bytes_max
        self._entries: list[LogEntry] = []
        self._bytes = 0
        self._scanned = 0
        self._marks = wanted.marks()
        self._more = True

    @property
    def empty(self) -> bool:
        """Whether it shows nothing yet."""
        return not self._entries

    def rows_wanted(self) -> int:
        """How many rows to fetch next: if nearly all rows are shown, as many as have room."""
        if self._wanted != _ALL and not self._wanted.only_period():
            return CHUNK
        room = self._limit - len(self._entries) + 1  # one more says that there is one
        return min(max(room, FEW, self._scanned), CHUNK)

    def take(self, rows: Sequence[LoggedRow], *, last: bool) -> None:
        """Look at the next rows; ``last`` if none are left behind them.

        Raises:
            UnreadableEvent: one cannot be read; those before it are done with.
        """
        for row in rows:
            if self._wanted.ended(row.at) or self._opens(row):
                last = True
                break
            if not self._look_at(row):
                self.full = True
                return
            self.before = row.seq
        self._scanned += len(rows)
        self._more = not last
        self.full = last or self._scanned >= SCANNED_MAX

    def _opens(self, row: LoggedRow) -> bool:
        """Whether the period that is asked for entered the log here: nothing before is in it."""
        if self._wanted.billing_period is None or row.kind not in _OPENINGS:
            return False
        event = decode_event(row.kind, row.body, row.seq)
        return getattr(event, "key", None) == self._wanted.billing_period

    def _look_at(self, row: LoggedRow) -> bool:
        """Show the row if it matches; False if it does not fit any more.

        A page that has all that it may show looks on for the next match: without one it is the
        last, and needs no cursor.
        """
        for mark, older in self._marks:  # to look for a text costs far less than to decode
            if mark not in row.body and older not in row.body:
                return True
        event = decode_event(row.kind, row.body, row.seq)
        if not isinstance(event, UsageRecorded) or not self._wanted.matches(event, row.at):
            return True
        if len(self._entries) == self._limit:
            return False
        try:
            entry, size = _entry(event, row)
        except MISFITS as error:
            raise UnreadableEvent(row.kind, str(error), row.seq) from error
        if self._entries and self._bytes + size > self._bytes_max:
            return False
        self._entries.append(entry)
        self._bytes += size
        return True

    def reply(self, total: int | None, seq: int) -> LogsReply:
        """The page."""
        return LogsReply(
            logs=tuple(self._entries),
            next_cursor=cursor_of(self.before, self._wanted) if self._more else None,
            total_count=total,
            seq=seq,
        )


def _entry(event: UsageRecorded, row: LoggedRow) -> tuple[LogEntry, int]:
    """A logged event as a page shows it, and how many bytes it takes there."""
    about = decode_personal(row.personal) or _NOTHING
    detail = event.detail or NO_DETAIL
    price_model, matched_by = found_of(event)
    at = row.at
    entry = LogEntry(  # written out: with the counts as one mapping it takes 2 us longer
        event_id=row.key or "",
        timestamp=to_datetime(at if event.timestamp is None else event.timestamp),
        provider=event.provider,
        endpoint=event.endpoint,
        method=event.method,
        model_used=event.model,
        actual_provider_name=event.actual,
        tokens_input=event.tokens_input,
        tokens_output=event.tokens_output,
        tokens_cache_read=event.tokens_cache_read,
        tokens_cache_write=event.tokens_cache_write,
        tokens_reasoning=event.tokens_reasoning,
        search_count=event.search_count,
        image_count=event.image_count,
        page_count=event.page_count,
        response_time=event.response_time,
        status_code=event.status_code,
        request_size=event.request_size,
        response_size=event.response_size,
        user_agent=about.user_agent,
        ip_address=about.ip_address,
        error_message=about.error_message,
        retry_count=event.retry_count,
        hold_id=event.hold_id,
        metadata=about.metadata,
        outcome=outcome_of(event),
        key=detail.key,
        tags=detail.tags,
        token_parts=detail.token_parts,
        token_counting=detail.token_counting or INCLUSIVE,
        price_variant=detail.price_variant,
        price_factors=detail.price_factors or (),
        units=quantities(detail.units),
        cost=usd(event.cost_nano),
        cost_input=usd(event.cost_input_nano),
        cost_output=usd(event.cost_output_nano),
        cost_catalog=None if event.cost_catalog_nano is None else usd(event.cost_catalog_nano),
        tokens_used=event.tokens_input + event.tokens_output,
        priced=event.priced,
        price_model=price_model,
        matched_by=matched_by,
        variant_priced=variant_priced_of(event),
        tier=detail.tier,
        unpriced=detail.unpriced,
        billing_period=event.billing_period,
        late=event.late,
        logged_at=to_datetime(at),
        seq=row.seq,
    )
    return entry, len(encode_reply(entry)) + 1
