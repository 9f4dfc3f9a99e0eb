"""``meterd verify``: is all that is stored as it was written, and do the parts say the same?

Reads a log from outside, beside a running service, and goes on behind damage. Every row is
compared with its checksum and goes through the same `apply` as live; what differs is named. No
state of all users is ever in memory: the log is read once for its rows, the chain and what is
derived of it, and then once for each range of partitions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

from actors.audit.compare import LiveCheck, unreadable
from actors.audit.findings import (
    BY_HAND,
    MEND_FIRST,
    Finding,
    Found,
    OnePerUser,
    of_broken,
    of_fault,
)
from actors.audit.replay import Replay
from actors.audit.rows import DamagedRows
from actors.billing.catalog.defaults import default_catalog
from actors.billing.state.account import Account
from messages.catalog import CATALOG_USER
from messages.codec import decode_catalog_event
from messages.reports import StatsReply
from messages.stored.errors import UnreadableEvent
from messages.stored.events import (
    KIND,
    PeriodRolled,
)
from messages.stored.form import FORM
from messages.subjects import PARTITIONS
from persistence.archive.files import DIRECTORY
from persistence.chain.check import Broken, ChainCheck, Heads
from persistence.chain.losses import Loss
from persistence.records import Row
from persistence.sqlite.inspecting.archive_files import PUT_BACK
from persistence.sqlite.inspecting.derived import DerivedCheck
from persistence.sqlite.inspecting.fault import MEND_BACKUP, Fault
from persistence.sqlite.inspecting.rows import Fit, Gap, Seen
from persistence.sqlite.inspection import Inspection

PROGRESS_ROWS: Final = 1_000
LOOKS: Final = 2
"""How often each row is looked at: in the chain, and in the replay of its user."""
USERS_AT_ONCE: Final = 10_000
"""Users whose states are in memory at once, about; more only if one partition has more."""
_ROLLED: Final = KIND[PeriodRolled]


class VerifyReport(NamedTuple):
    """What was verified; ``live`` is None if no service was asked.

    ``gone`` has the archives that are not there, with how many rows were not looked at for that;
    ``losses`` the rows that are lost, as it was accepted.
    """

    rows: int
    users: int
    snapshots: int
    closed: int
    last: int
    live: int | None
    gone: dict[str, int]
    losses: list[Loss]


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
        self._damaged = False
        self._at = 0  # when the newest row took effect that is as it was written

    def run(self) -> VerifyReport:
        """Look at everything; raises `JournalError` if the log cannot be read at all."""
        self._tell(self._log.structure(FORM))
        derived = self._log.derived(FORM)
        begun = self._follow(derived)
        beside = list(self._log.beside(self._last))
        self._tell(beside)
        if not any(fault.field == "archive" for fault in beside):
            self._tell(self._unread_archives())
        self._tell(derived.faults())
        for partitions in ranges(begun, self._users_at_once):
            self._replay(partitions)
        for user, key, count in self._log.repeated_keys():
            why = f"{count} rows have the key {key!r}"
            self._of_user(Finding(user, "", "event_id", why, place="the log", users=(user,)))
        self._progress(self._rows * LOOKS)
        return self._report()

    def follow_chain(self) -> VerifyReport:
        """Look at the rows, their chain and their end alone; raises as `run`."""
        self._follow(None)
        self._tell(self._unread_archives())
        self._tell(self._log.ends(self._last))
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
            self._log.notes.losses.all,
        )

    def _follow(self, derived: DerivedCheck | None) -> Counter[int]:
        """Look at all rows in their order; about how many users begin in each partition."""
        chain, begun, catalog = (
            self._log.chain(self._kept),
            Counter[int](),
            _CatalogCheck(self._found),
        )
        rows = DamagedRows(self._found, derived.users_of if derived is not None else None)
        for look in self._log.seen():
            if isinstance(look, Gap):
                missing = [*self._log.notes.losses.without(look.first, look.last)]
                for first, last in missing:
                    rows.gap(look._replace(first=first, last=last))
                if missing:  # else the chain knows of them
                    self._name(chain.skip(look.last))
                if derived is not None:
                    derived.skip(look.first, look.last)
                self._last = max(self._last, look.last)
                continue
            row = look.row
            self._link(chain, rows, look)
            if derived is not None:
                derived.take(look)
            if row.user == CATALOG_USER:
                catalog.take(row)
            elif row.kind == _ROLLED and '"closed":' not in str(row.body):  # the first of a user
                begun[row.partition] += 1
            self._rows, self._last = self._rows + 1, row.seq
            self._looked()
        rows.end()
        self._damaged = rows.any
        self._name(chain.end())
        return begun

    def _link(self, chain: ChainCheck, rows: DamagedRows, seen: Seen) -> None:
        """Compare a row with its checksum, and with the one before it."""
        row, fit = seen.row, seen.fit
        if fit is Fit.HEAD or fit is Fit.BODY:  # a set would hash it
            rows.damaged(seen)
            if fit is Fit.HEAD:  # nobody knows which partition it is of
                self._name(chain.skip(row.seq))
            else:
                self._name(chain.take(row, seen.proof, seen.link, whole=False), seen)
            return
        rows.whole(row)
        self._at = row.at
        checked = fit is Fit.WHOLE
        broken = chain.take(row, seen.proof, seen.link, whole=seen.whole, checked=checked)
        self._name(broken, seen)

    def _name(self, broken: Iterable[Broken], seen: Seen | None = None) -> None:
        for one in broken:
            here = seen is not None and one.last == seen.row.seq
            user = seen.row.user if seen is not None and here and one.first == one.last else None
            self._found(of_broken(one, user, seen.row.at if seen is not None and here else None))

    def _unread_archives(self) -> Iterator[Fault]:
        """What kept bodies of archives from being read."""
        for why, (first, last) in self._log.damaged.items():
            yield Fault("archive", DIRECTORY, "its files", why, PUT_BACK, first=first, last=last)

    def _tell(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            lost = fault.first is not None and fault.first > self._last > 0
            at = (self._at, self._at) if lost and fault.at is None else fault.at
            self._found(of_fault(fault._replace(at=at)))

    def _of_user(self, finding: Finding) -> None:
        """Tell of a user's state, with what to do about it."""
        if self._damaged and not (finding.derived and finding.field == "snapshot"):
            finding = finding._replace(do=MEND_FIRST)
        self._found(finding if finding.do else finding._replace(do=BY_HAND))

    def _looked(self) -> None:
        self._looks += 1
        if self._looks % PROGRESS_ROWS == 0:
            self._progress(self._looks)

    def _replay(self, partitions: range) -> None:
        """Replay the users of some partitions, and compare."""
        # Behind damage a user may differ in everything, and each time because of that.
        bounded = OnePerUser(self._of_user) if self._damaged else None
        found = bounded.take if bounded is not None else self._of_user
        replay = Replay(self._log.snapshots(partitions), found, self._log.notes.losses)
        self._snapshots += len(replay.waiting)
        for row in self._log.rows(partitions=partitions):
            if row.user != CATALOG_USER:
                replay.take(row)
            self._looked()
        replay.end()
        self._users += len(replay.accounts) + len(replay.unreadable)
        self._closed += replay.closed
        if self._live is not None and replay.accounts:
            self._ask(self._live, replay.accounts, partitions, found)
        if bounded is not None:
            bounded.tell()

    def _ask(
        self, live: Live, accounts: dict[str, Account], partitions: range, found: Found
    ) -> None:
        """Compare with what the service says; once it is gone, it is not asked again."""
        check = LiveCheck(accounts, found)
        if not live.ask(list(accounts), check.take):
            self._live = None
        if check.ahead:
            with live.reopen() as log:
                check.follow(log.rows(self._last, partitions))
        if self._live is not None or check.compared:
            self._compared = (self._compared or 0) + check.compared


class _CatalogCheck:
    """Applies the rows of the catalogue, up to the first that cannot be."""

    def __init__(self, found: Found) -> None:
        self._catalog = default_catalog()
        self._found = found
        self._readable = True

    def take(self, row: Row) -> None:
        if not self._readable:
            return
        try:
            self._catalog.take(decode_catalog_event(row.kind, row.body), row.seq)
        except UnreadableEvent as error:
            self._readable = False
            self._found(unreadable(row, error)._replace(do=MEND_BACKUP))


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
