"""The states of users, replayed from rows that may be damaged, and compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from actors.audit.compare import closed_by, compare_snapshot, compare_totals, unreadable
from actors.audit.findings import Found, of_row, of_snapshot
from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account
from actors.billing.state.apply import apply
from messages.codec import decode_event
from messages.stored.errors import Unreadable
from messages.subjects import encode_user, partition_of
from persistence.records import Row, Snapshot

_IMPOSSIBLE: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError)


class Replay:
    """The states of some users, from their rows in order.

    Args:
        snapshots: of these users.
        found: told what differs.

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
        if user in self.unreadable or not self._belongs(row):
            return
        try:
            if row.body == "":
                self._pass_over(row)
            else:
                self._apply(row)
        except Unreadable as error:
            self._give_up(row, error)
        except (*_IMPOSSIBLE, ValueError) as error:  # rows before it are missing, or damaged
            why = f"it does not fit to the state before it ({type(error).__name__})"
            self._give_up(row, Unreadable(why))

    def end(self) -> None:
        """Say what no row fits to."""
        for user, snapshot in self.waiting.items():
            why = f"it is of position {snapshot.seq}, where the user has no row"
            self._found(of_snapshot(user, "", "snapshot", why, readable=False))

    def _belongs(self, row: Row) -> bool:
        """Whether a row is of its user; else it is damaged, and would count for another one."""
        if row.user in self.accounts:
            return True
        try:
            return partition_of(encode_user(row.user)) == row.partition
        except (AttributeError, TypeError, ValueError):
            return False

    def _give_up(self, row: Row, error: Unreadable) -> None:
        self.unreadable.add(row.user)
        self.accounts.pop(row.user, None)
        self._found(unreadable(row, error))
        snapshot = self.waiting.pop(row.user, None)
        if snapshot is None or snapshot.schema != snapshots.SCHEMA:
            return
        try:
            snapshots.decode(row.user, snapshot.body)
        except Unreadable as unread:
            why = f"the snapshot at {snapshot.seq} cannot be read: {unread}"
            self._found(of_snapshot(row.user, "", "snapshot", why, readable=False))

    def _apply(self, row: Row) -> None:
        event = decode_event(row.kind, row.body, row.seq)
        account = self.accounts.get(row.user)
        if account is None:
            account = self.accounts[row.user] = Account(row.user)
        if row.seq <= account.seq:
            return  # of a snapshot that took the place of rows
        if row.at < account.at:
            why = f"row {row.seq} took effect before the one before it"
            self._found(of_row(row.user, row.seq, row.at, "at", why))
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
