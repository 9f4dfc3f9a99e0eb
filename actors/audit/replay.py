"""The states of users, replayed from rows that may be damaged, and compared.

Behind an accepted loss a user's state is what the service makes of it: rows that name what only a
lost row said are passed over, and the snapshot, which reflects what is lost, is believed. What is
stored between the two of counters is not compared: nothing shows any more what it has to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from actors.audit.compare import closed_by, compare_snapshot, compare_totals, unreadable
from actors.audit.findings import Found, of_row, of_snapshot
from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account
from actors.billing.state.apply import apply
from messages.codec import decode_event
from messages.stored.errors import Unreadable, UnreadableEvent
from messages.stored.events import (
    Event,
)
from messages.subjects import encode_user, partition_of
from persistence.chain.losses import NONE, Losses
from persistence.records import Row, Snapshot

_NEVER: Final = 1 << 63
"""Above every position."""
_IMPOSSIBLE: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError)


class Replay:
    """The states of some users, from their rows in order.

    Args:
        snapshots: of these users.
        found: told what differs.
        losses: rows that are lost, as it was accepted.

    Attributes:
        accounts: by user.
        unreadable: users of whom a row cannot be applied; they have no state.
        waiting: snapshots whose position is not reached yet, by user.
        closed: how many closed periods were compared.
    """

    def __init__(
        self, snapshots: Mapping[str, Snapshot], found: Found, losses: Losses = NONE
    ) -> None:
        self.accounts: dict[str, Account] = {}
        self.unreadable: set[str] = set()
        self.waiting = dict(snapshots)
        self.closed = 0
        self._found = found
        self._losses = losses
        self._first_lost = losses.all[0].first if losses.all else _NEVER
        self._caught_up = dict[str, int]()  # of which position a snapshot was believed

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
            if self._is_of_lost_row(snapshot):
                self._believe(snapshot)
                continue
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

    def _may_lack(self, row: Row) -> bool:
        """Whether rows are lost of which the state before a row may have to know."""
        if row.seq < self._first_lost:
            return False
        since = self._caught_up.get(row.user, 0)
        within = self._losses.within(since + 1, row.seq)
        return any(loss.may_have_lost(row.partition) for loss in within)

    def _is_of_lost_row(self, snapshot: Snapshot) -> bool:
        return snapshot.seq in self._losses

    def _believe(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of behind a loss, as the service does."""
        user = snapshot.user
        if snapshot.schema != snapshots.SCHEMA:
            return
        try:
            account = snapshots.decode_at(user, snapshot.seq, snapshot.body)
        except Unreadable as error:
            why = f"the snapshot at {snapshot.seq} cannot be read: {error}"
            self._found(of_snapshot(user, "", "snapshot", why, readable=False))
            return
        self.accounts[user] = account
        self._caught_up[user] = snapshot.seq

    def _give_up(self, row: Row, error: Unreadable) -> None:
        self.unreadable.add(row.user)
        self.accounts.pop(row.user, None)
        self._found(unreadable(row, error))
        snapshot = self.waiting.pop(row.user, None)
        if snapshot is None or snapshot.schema != snapshots.SCHEMA:
            return
        try:
            snapshots.decode_at(row.user, snapshot.seq, snapshot.body)
        except Unreadable as unread:
            why = f"the snapshot at {snapshot.seq} cannot be read: {unread}"
            self._found(of_snapshot(row.user, "", "snapshot", why, readable=False))

    def _apply(self, row: Row) -> None:
        event = decode_event(row.kind, row.body, row.seq)
        snapshot = self.waiting.get(row.user)
        if snapshot is not None and snapshot.seq < row.seq and self._is_of_lost_row(snapshot):
            self._believe(self.waiting.pop(row.user))
        account = self.accounts.get(row.user)
        if account is None:
            account = self.accounts[row.user] = Account(row.user)
        if row.seq <= account.seq:
            return  # of a snapshot that took the place of rows
        if row.at < account.at:
            why = f"row {row.seq} took effect before the one before it"
            self._found(of_row(row.user, row.seq, row.at, "at", why))
        lacks = self._may_lack(row)
        if lacks:
            _apply_what_can_be(account, event, row)
        else:
            for period, totals in closed_by(account, event):
                self.closed += 1
                compare_totals(row, totals, period, self._found)
            apply(account, event, row.at, row.seq)
        if snapshot is None or snapshot.seq != row.seq:
            return
        del self.waiting[row.user]
        if lacks:
            self._believe(snapshot)
        else:
            compare_snapshot(account, snapshot, self._found)

    def _pass_over(self, row: Row) -> None:
        """Go on from the user's snapshot: the row's body cannot be read now."""
        account = self.accounts.get(row.user)
        if account is not None and row.seq <= account.seq:
            return
        snapshot = self.waiting.pop(row.user, None)
        if snapshot is None or snapshot.schema != snapshots.SCHEMA or snapshot.seq < row.seq:
            raise Unreadable("its archive cannot be read, and no snapshot reflects it")
        self.accounts[row.user] = snapshots.decode_at(row.user, snapshot.seq, snapshot.body)


def _apply_what_can_be(account: Account, event: Event, row: Row) -> None:
    """Apply a row behind a loss; one that names what only a lost row said is passed over."""
    try:
        apply(account, event, row.at, row.seq)
    except UnreadableEvent:
        account.at, account.seq = row.at, row.seq
