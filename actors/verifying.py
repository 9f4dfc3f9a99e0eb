"""``meterd verify``: does the log, replayed, give what snapshots and closed periods say?

Reads a log from outside, beside a running service. Every row goes through the same `apply` as
live; what differs is named by user, period and field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from actors.billing import snapshot as snapshots
from actors.billing.account import Account, Period
from actors.billing.catalog import default_catalog
from actors.billing.snapshot import totals_of
from actors.billing.state import apply
from actors.billing.stats import stats
from messages.catalog import CATALOG_USER
from messages.client import decode_stats
from messages.codec import decode_catalog_event, decode_event, encode_reply
from messages.events import Event, PeriodRolled, PeriodSealed, PeriodTotals
from messages.replies import StatsReply
from persistence.inspection import ChainCheck, Inspection
from persistence.journal import Row, Snapshot

PROGRESS_ROWS: Final = 1_000


class Finding(NamedTuple):
    """Something that differs; ``user`` and ``period`` are empty where it belongs to none."""

    user: str
    period: str
    field: str
    why: str


class Report(NamedTuple):
    """What was looked at."""

    rows: int
    users: int
    snapshots: int
    closed: int
    last: int


class Verifier:
    """Replays a log row by row and compares.

    Args:
        log: the log, as of one moment.
        found: called with everything that differs.
        progress: called now and then with how many rows were looked at.
    """

    def __init__(
        self,
        log: Inspection,
        found: Callable[[Finding], None],
        progress: Callable[[int], None],
    ) -> None:
        self._log = log
        self._found = found
        self._progress = progress
        self._accounts: dict[str, Account] = {}
        self._catalog = default_catalog()
        self._snapshots = log.snapshots()
        self._waiting = dict(self._snapshots)
        self._unreadable: set[str] = set()
        self._closed = 0

    def run(self) -> Report:
        """Replay all rows; raises `JournalError` where the log cannot be read."""
        chain, rows, last = ChainCheck(self._log.unchained()), 0, 0
        for row, stored in self._log.rows():
            broken = chain.take(row, stored)
            if broken is not None:
                self._found(Finding("", "", f"rows {broken.first} to {broken.last}", broken.why))
            self._take(row)
            rows, last = rows + 1, row.seq
            if rows % PROGRESS_ROWS == 0:
                self._progress(rows)
        broken = chain.end()
        if broken is not None:
            self._found(Finding("", "", f"rows {broken.first} to {broken.last}", broken.why))
        for user, key, count in self._log.repeated_keys():
            self._found(Finding(user, "", "event_id", f"{count} rows have the key {key!r}"))
        for user, snapshot in self._waiting.items():
            why = f"it is of position {snapshot.seq}, where the user has no row"
            self._found(Finding(user, "", "snapshot", why))
        self._progress(rows)
        return Report(rows, len(self._accounts), len(self._snapshots), self._closed, last)

    @property
    def accounts(self) -> dict[str, Account]:
        """What the log alone says of each user."""
        return self._accounts

    def _take(self, row: Row) -> None:
        if row.user in self._unreadable:
            return
        try:
            if row.user == CATALOG_USER:
                self._catalog.take(decode_catalog_event(row.kind, row.body), row.seq)
                return
            self._replay(row, decode_event(row.kind, row.body))
        except (KeyError, ValueError, TypeError) as error:  # DecodeError is a ValueError
            self._unreadable.add(row.user)
            self._waiting.pop(row.user, None)
            why = f"row {row.seq} ({row.kind}) cannot be applied: {error}"
            self._found(Finding(row.user, "", "log", why))

    def _replay(self, row: Row, event: Event) -> None:
        account = self._accounts.setdefault(row.user, Account(row.user))
        if row.at < account.at:
            why = f"row {row.seq} took effect before the one before it"
            self._found(Finding(row.user, "", "at", why))
        for period, totals in _closed_by(account, event):
            self._closed += 1
            self._compare(row.user, totals.key, totals, totals_of(period), f"row {row.seq}")
        apply(account, event, row.at, row.seq)
        snapshot = self._waiting.get(row.user)
        if snapshot is not None and snapshot.seq == row.seq:
            del self._waiting[row.user]
            self._judge(account, snapshot)

    def _judge(self, account: Account, snapshot: Snapshot) -> None:
        """Compare a snapshot with what the log says at its position."""
        if snapshot.schema != snapshots.SCHEMA:
            return  # of another version: it is ignored by the service too
        expected = snapshots.encode(account)
        if snapshot.body == expected:
            return
        where = f"the snapshot at {snapshot.seq}"
        try:
            stored = snapshots.decode(account.user, snapshot.body)
        except (KeyError, TypeError, ValueError) as error:
            self._found(Finding(account.user, "", "snapshot", f"{where} cannot be read: {error}"))
            return
        found = list(_periods_that_differ(account, stored))
        for period, field, log, kept in found:
            why = f"{where} says {kept}, the log {log}"
            self._found(Finding(account.user, period, field, why))
        if not found:
            self._found(Finding(account.user, "", "snapshot", f"{where} has other bytes"))

    def _compare(
        self, user: str, period: str, kept: PeriodTotals, log: PeriodTotals, where: str
    ) -> None:
        for field, said, counted in differences(kept, log):
            why = f"{where} says {said}, the log {counted}"
            self._found(Finding(user, period, field, why))


def differences(left: msgspec.Struct, right: msgspec.Struct) -> Iterator[tuple[str, Any, Any]]:
    """The fields that differ, with both values."""
    for field in left.__struct_fields__:
        one, other = getattr(left, field), getattr(right, field)
        if one != other:
            yield field, one, other


class LiveCheck:
    """Compares summaries of a running service with the log, each at its own position.

    Args:
        accounts: what the log says of each user; it goes on from here.
        last: the position up to which ``accounts`` are.
        found: called with everything that differs.
    """

    def __init__(
        self, accounts: dict[str, Account], last: int, found: Callable[[Finding], None]
    ) -> None:
        self._accounts = accounts
        self._last = last
        self._found = found

    def run(self, log: Inspection, summaries: dict[str, StatsReply]) -> int:
        """Compare summaries that were asked for before ``log`` was opened; how many."""
        compared = self._compare_all(summaries)
        for row, _ in log.rows(self._last):
            if row.user == CATALOG_USER or row.user not in summaries:
                continue
            account = self._accounts.setdefault(row.user, Account(row.user))
            apply(account, decode_event(row.kind, row.body), row.at, row.seq)
            live = summaries[row.user]
            if account.seq == live.seq:
                self._compare(account, live)
                compared += 1
        return compared

    def _compare_all(self, summaries: dict[str, StatsReply]) -> int:
        now = [
            (self._accounts[user], live)
            for user, live in summaries.items()
            if user in self._accounts and self._accounts[user].seq == live.seq
        ]
        for account, live in now:
            self._compare(account, live)
        return len(now)

    def _compare(self, account: Account, live: StatsReply) -> None:
        period = account.period(live.billing_period)
        if period is None:
            why = "the service is in this period, the log is not"
            self._found(Finding(account.user, live.billing_period, "billing_period", why))
            return
        expected = decode_stats(encode_reply(stats(account, period, account.at)))
        for field, said, counted in differences(live, expected):
            if field != "held":  # it goes by the moment of the question
                why = f"the service says {said}, the log {counted}"
                self._found(Finding(account.user, live.billing_period, field, why))


def open_log(directory: Path) -> Inspection:
    """The log of a directory.

    Raises:
        Refused: there is none, or not one that this version can read.
    """
    return Inspection.open(directory)


def _closed_by(account: Account, event: Event) -> Iterator[tuple[Period, PeriodTotals]]:
    """The periods that an event says are over, each with the totals that it keeps."""
    if isinstance(event, PeriodRolled) and event.closed is not None:
        if account.current is not None:
            yield account.current, event.closed
    elif isinstance(event, PeriodSealed):
        period = account.period(event.totals.key)
        if period is not None:
            yield period, event.totals


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
    for field in (
        *("seq", "at", "months", "before", "unread", "sealed", "subscription", "suspended"),
        "holds",
    ):
        one, other = getattr(log, field), getattr(stored, field)
        if one != other:
            yield "", field, one, other


def _periods(account: Account) -> list[Period]:
    return [*account.closed, *([account.current] if account.current else [])]
