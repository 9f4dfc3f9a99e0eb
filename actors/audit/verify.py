"""``meterd verify``: does the log, replayed, give what snapshots and closed periods say?

Reads a log from outside, beside a running service. Every row goes through the same `apply` as
live; what differs is named by user, period and field. No state of all users is ever in memory:
the log is read once for its chain, and then once for each range of partitions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

from actors.audit.compare import (
    Finding,
    Found,
    LiveCheck,
    closed_by,
    compare_snapshot,
    compare_totals,
    unreadable,
)
from actors.billing.catalog.defaults import default_catalog
from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account
from actors.billing.state.apply import apply
from messages.catalog import CATALOG_USER
from messages.codec import decode_catalog_event, decode_event
from messages.reports import StatsReply
from messages.stored.errors import Unreadable, UnreadableEvent
from messages.stored.events import KIND, PeriodRolled
from messages.subjects import PARTITIONS
from persistence.chain.check import Broken, Heads
from persistence.records import Row, Snapshot
from persistence.sqlite.inspection import Inspection

PROGRESS_ROWS: Final = 1_000
LOOKS: Final = 2
"""How often each row is looked at: in the chain, and in the replay of its user."""
USERS_AT_ONCE: Final = 10_000
"""Users whose states are in memory at once, about; more only if one partition has more."""
_ROLLED: Final = KIND[PeriodRolled]


class VerifyReport(NamedTuple):
    """What was verified; ``live`` is None if no service was asked.

    ``gone`` has the archives that are not there, with how many rows were not looked at for that.
    """

    rows: int
    users: int
    snapshots: int
    closed: int
    last: int
    live: int | None
    gone: dict[str, int]


class Live(NamedTuple):
    """How a running service is asked.

    Attributes:
        ask: hands over what the service says of users, some at a time; False if it is gone.
        reopen: the log as of now.
    """

    ask: Callable[[list[str], Callable[[dict[str, StatsReply]], None]], bool]
    reopen: Callable[[], AbstractContextManager[Inspection]]


class Verifier:
    """Replays a log and compares.

    Args:
        log: the log, as of one moment.
        found: called with everything that differs.
        progress: called now and then with how many looks at a row are done, `LOOKS` of each.
        live: asks the running service, None if none is to be asked.
        users_at_once: users whose states may be in memory at once.
        kept: links of the chain that others kept of this log.
    """

    def __init__(
        self,
        log: Inspection,
        found: Found,
        progress: Callable[[int], None],
        live: Live | None = None,
        users_at_once: int = USERS_AT_ONCE,
        kept: Sequence[Heads] = (),
    ) -> None:
        self._log = log
        self._found = found
        self._progress = progress
        self._live = live
        self._users_at_once = users_at_once
        self._kept = kept
        self._looks = 0
        self._rows = self._last = 0
        self._users = self._snapshots = self._closed = 0
        self._compared: int | None = None

    def run(self) -> VerifyReport:
        """Look at all rows; raises `JournalError` if the log cannot be read."""
        begun = self._follow_chain()
        for partitions in ranges(begun, self._users_at_once):
            self._replay(partitions)
        for user, key, count in self._log.repeated_keys():
            self._found(Finding(user, "", "event_id", f"{count} rows have the key {key!r}"))
        self._progress(self._rows * LOOKS)
        return self._report()

    def follow_chain(self) -> VerifyReport:
        """Look at the chain alone; raises as `run`."""
        self._follow_chain()
        self._progress(self._rows * LOOKS)
        return self._report()

    def _report(self) -> VerifyReport:
        return VerifyReport(
            self._rows,
            self._users,
            self._snapshots,
            self._closed,
            self._last,
            self._compared,
            dict(self._log.gone),
        )

    def _follow_chain(self) -> Counter[int]:
        """Look at all rows in their order; about how many users begin in each partition."""
        chain, begun, catalog = self._log.chain(self._kept), Counter[int](), default_catalog()
        readable = True
        for row, proof, link, whole in self._log.written():
            self._name(chain.take(row, proof, link, whole=whole))
            if row.user == CATALOG_USER and readable:
                try:
                    catalog.take(decode_catalog_event(row.kind, row.body), row.seq)
                except UnreadableEvent as error:
                    readable = False
                    self._found(unreadable(row, error))
            elif row.kind == _ROLLED and '"closed":' not in str(row.body):  # the first of a user
                begun[row.partition] += 1
            self._rows, self._last = self._rows + 1, row.seq
            self._looked()
        self._name(chain.end())
        for why in self._log.damaged:
            self._found(Finding("", "", "archive", why))
        return begun

    def _name(self, broken: Iterable[Broken]) -> None:
        for first, last, why in broken:
            rows = f"row {first}" if first == last else f"rows {first} to {last}"
            self._found(Finding("", "", rows, why))

    def _looked(self) -> None:
        self._looks += 1
        if self._looks % PROGRESS_ROWS == 0:
            self._progress(self._looks)

    def _replay(self, partitions: range) -> None:
        """Replay the users of some partitions, and compare."""
        replay = _Replay(self._log.snapshots(partitions), self._found)
        self._snapshots += len(replay.waiting)
        for row in self._log.rows(partitions=partitions):
            if row.user != CATALOG_USER:
                replay.take(row)
            self._looked()
        for user, snapshot in replay.waiting.items():
            why = f"it is of position {snapshot.seq}, where the user has no row"
            self._found(Finding(user, "", "snapshot", why))
        self._users += len(replay.accounts) + len(replay.unreadable)
        self._closed += replay.closed
        if self._live is not None and replay.accounts:
            self._ask(self._live, replay.accounts, partitions)

    def _ask(self, live: Live, accounts: dict[str, Account], partitions: range) -> None:
        """Compare with what the service says; once it is gone, it is not asked again."""
        check = LiveCheck(accounts, self._found)
        if not live.ask(list(accounts), check.take):
            self._live = None
        if check.ahead:
            with live.reopen() as log:
                check.follow(log.rows(self._last, partitions))
        if self._live is not None or check.compared:
            self._compared = (self._compared or 0) + check.compared


class _Replay:
    """The states of some users, from their rows in order.

    Attributes:
        accounts: by user.
        unreadable: users of whom a row cannot be applied; they have no state.
        waiting: snapshots whose position is not reached yet, by user.
        closed: how many closed periods were compared.
    """

    def __init__(self, snapshots: Mapping[str, Snapshot], found: Found) -> None:
        self.accounts: dict[str, Account] = {}
        self.unreadable: set[str] = set()
        self.waiting = dict(snapshots)
        self.closed = 0
        self._found = found

    def take(self, row: Row) -> None:
        """Apply the next row, and compare what is due at its position."""
        user = row.user
        if user in self.unreadable:
            return
        try:
            if row.body == "":
                self._pass_over(row)
            else:
                self._apply(row)
        except Unreadable as error:
            self.unreadable.add(user)
            self.accounts.pop(user, None)
            self.waiting.pop(user, None)
            self._found(unreadable(row, error))

    def _apply(self, row: Row) -> None:
        event = decode_event(row.kind, row.body, row.seq)
        account = self.accounts.get(row.user)
        if account is None:
            account = self.accounts[row.user] = Account(row.user)
        if row.seq <= account.seq:
            return  # of a snapshot that took the place of rows
        if row.at < account.at:
            why = f"row {row.seq} took effect before the one before it"
            self._found(Finding(row.user, "", "at", why))
        for period, totals in closed_by(account, event):
            self.closed += 1
            compare_totals(row, totals, period, self._found)
        apply(account, event, row.at, row.seq)
        snapshot = self.waiting.get(row.user)
        if snapshot is not None and snapshot.seq == row.seq:
            del self.waiting[row.user]
            compare_snapshot(account, snapshot, self._found)

    def _pass_over(self, row: Row) -> None:
        """Go on from the user's snapshot: the row's body cannot be read now."""
        account = self.accounts.get(row.user)
        if account is not None and row.seq <= account.seq:
            return
        snapshot = self.waiting.pop(row.user, None)
        if snapshot is None or snapshot.schema != snapshots.SCHEMA or snapshot.seq < row.seq:
            raise Unreadable("its archive cannot be read, and no snapshot reflects it")
        self.accounts[row.user] = snapshots.decode(row.user, snapshot.body)


def ranges(begun: Mapping[int, int], users_at_once: int) -> Iterator[range]:
    """All partitions in as few ranges as hold at most this many users, or one partition each.

    Args:
        begun: how many users each partition has.
        users_at_once: the bound.
    """
    first = users = 0
    for partition in range(PARTITIONS):
        users += begun.get(partition, 0)
        if users > users_at_once and partition > first:
            yield range(first, partition)
            first, users = partition, begun.get(partition, 0)
    yield range(first, PARTITIONS)
