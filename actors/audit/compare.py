"""Differences of two states, or of a state and a summary: by user, period and field."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from actors.audit.findings import REBUILD, Finding, Found, of_row, of_snapshot
from actors.billing.reports.stats import stats
from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account, Period
from actors.billing.state.apply import apply
from actors.billing.state.snapshot import totals_of
from messages.client.client import decode_stats
from messages.codec import decode_event, encode_reply
from messages.reports import StatsReply
from messages.stored.errors import Unreadable, UnreadableEvent
from messages.stored.events import (
    Event,
    PeriodClosed,
    PeriodRolled,
    PeriodSealed,
    PeriodTotals,
)
from messages.stored.tally import TallyTotals
from persistence.records import Row, Snapshot

_OF_NO_PERIOD: Final = tuple(
    field.name
    for field in dataclasses.fields(Account)
    if field.compare and field.name not in {"user", "current", "closed"}
)
"""What is part of a user's state beside the periods."""


def differences(left: msgspec.Struct, right: msgspec.Struct) -> Iterator[tuple[str, Any, Any]]:
    """The fields that differ, with both values."""
    for field in left.__struct_fields__:
        one, other = getattr(left, field), getattr(right, field)
        if one != other:
            yield field, one, other


def unreadable(row: Row, error: Unreadable) -> Finding:
    """What is said of a row that cannot be applied."""
    why = f"row {row.seq} ({row.kind}) cannot be applied: {error.why}"
    return of_row(row.user, row.seq, row.at, "log", why)


def closed_by(account: Account, event: Event) -> Iterator[tuple[Period, PeriodTotals]]:
    """The periods that an event says are over, each with the totals that it keeps."""
    if isinstance(event, PeriodRolled) and event.closed is not None:
        if account.current is not None:
            yield account.current, event.closed
    elif isinstance(event, PeriodClosed):
        # That of another period has the late call of the row behind it.
        if account.current is not None and account.current.key == event.totals.key:
            yield account.current, event.totals
    elif isinstance(event, PeriodSealed):
        period = account.period(event.totals.key)
        if period is not None:
            yield period, event.totals


def compare_totals(row: Row, kept: PeriodTotals, period: Period, found: Found) -> None:
    """Compare the totals that a row keeps of a closed period with what was counted.

    Estimates that a row says nothing of may have come before totals had them.
    """
    counts = totals_of(period)
    if kept.tally is None and counts.tally is not None and _estimates_only(counts.tally):
        counts = msgspec.structs.replace(counts, tally=None)
    for field, said, counted in differences(kept, counts):
        why = f"row {row.seq} says {said}, the log {counted}"
        found(of_row(row.user, row.seq, row.at, field, why)._replace(period=kept.key))


def _estimates_only(tally: TallyTotals) -> bool:
    return tally == TallyTotals(estimated=tally.estimated)


def compare_snapshot(account: Account, snapshot: Snapshot, found: Found) -> None:
    """Compare a snapshot with what the log says at its position."""
    if snapshot.schema != snapshots.SCHEMA:
        return  # of another version: it is ignored by the service too
    if snapshot.body == snapshots.encode(account):
        return
    where = f"the snapshot at {snapshot.seq}"
    try:
        stored = snapshots.decode_at(account.user, snapshot.seq, snapshot.body)
    except Unreadable as error:
        why = f"{where} cannot be read: {error}"
        found(of_snapshot(account.user, "", "snapshot", why, readable=False))
        return
    differing = list(_periods_that_differ(account, stored))
    for period, field, log, kept in differing:
        why = f"{where} says {kept}, the log {log}"
        found(of_snapshot(account.user, period, field, why))
    if not differing:
        found(of_snapshot(account.user, "", "snapshot", f"{where} has other bytes"))


class LiveCheck:
    """Compares summaries of a running service with the log, each at its own position.

    Args:
        accounts: what the log says of each user; it goes on from here.
        found: called with everything that differs.

    Attributes:
        compared: how many summaries were compared.
        ahead: those of positions that the accounts have not reached, by user.
    """

    def __init__(self, accounts: dict[str, Account], found: Found) -> None:
        self.compared = 0
        self.ahead: dict[str, StatsReply] = {}
        self._accounts = accounts
        self._found = found

    def take(self, summaries: dict[str, StatsReply]) -> None:
        """Compare what can be compared now, and keep what is ahead."""
        for user, live in summaries.items():
            if not self._at(user, live):
                self.ahead[user] = live

    def follow(self, rows: Iterator[Row]) -> None:
        """Go on with rows behind the accounts, as of a moment after the last summary."""
        for row in rows:
            live = self.ahead.get(row.user)
            if live is None:
                continue
            account = self._accounts[row.user]
            try:
                apply(account, decode_event(row.kind, row.body), row.at, row.seq)
            except UnreadableEvent as error:
                self._found(unreadable(row, error))
                del self.ahead[row.user]
                continue
            if self._at(row.user, live):
                del self.ahead[row.user]

    def _at(self, user: str, live: StatsReply) -> bool:
        """Compare a summary, if the log is at its position."""
        account = self._accounts[user]
        if account.seq != live.seq:
            return False
        self._compare(account, live)
        self.compared += 1
        return True

    def _compare(self, account: Account, live: StatsReply) -> None:
        period = account.period(live.billing_period)
        if period is None and account.current is None and not live.total_calls:
            return  # the period that a first call would open
        if period is None:
            why = "the service is in this period, the log is not"
            self._found(_of_service(live, account.user, "billing_period", why))
            return
        expected = decode_stats(encode_reply(stats(account, period, account.at)))
        for field, said, counted in differences(live, expected):
            if field != "held":  # it goes by the moment of the question
                why = f"the service says {said}, the log {counted}"
                self._found(_of_service(live, account.user, field, why))


def _of_service(live: StatsReply, user: str, field: str, why: str) -> Finding:
    place, period = "what the running service says", live.billing_period
    return Finding(user, period, field, why, "", place, None, (user,), None, True, REBUILD)


def _periods_that_differ(log: Account, stored: Account) -> Iterator[tuple[str, str, Any, Any]]:
    """What of two states differs: period, field, and what each says."""
    kept = {period.key: period for period in _periods(stored)}
    counted = {period.key: period for period in _periods(log)}
    for key in sorted({*kept, *counted}):
        if key not in kept or key not in counted:
            yield key, "period", key in counted, key in kept
            continue
        mine, theirs = totals_of(counted[key]), totals_of(kept[key])
        for field, one, other in differences(mine, theirs):
            yield key, field, one, other
        for field in ("levels", "announced"):
            one, other = getattr(counted[key], field), getattr(kept[key], field)
            if one != other:
                yield key, field, one, other
    for field in _OF_NO_PERIOD:
        one, other = getattr(log, field), getattr(stored, field)
        if one != other:
            yield "", field, one, other


def _periods(account: Account) -> list[Period]:
    return [*account.closed, *([account.current] if account.current else [])]
