"""What a user's state is made of: a snapshot that can be used, and the rows behind it."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account
from actors.billing.state.apply import apply
from messages.codec import decode_event
from messages.stored.errors import Unreadable, UnreadableEvent
from persistence.damage import damaged_of
from persistence.records import Entry, Snapshot

_log = structlog.get_logger(__name__)


def replay(account: Account, entries: Sequence[Entry], lost: int | None = None) -> None:
    """Apply rows of the log.

    Args:
        account: the state.
        entries: the rows behind it.
        lost: from this position on rows of the user may be lost for good. Behind it, a row that
            names what the state does not have, such as a period or a hold that a lost row opened,
            is passed over: else the user would never be there again.

    Raises:
        Damaged: one cannot be read.
    """
    for seq, kind, at, body in entries:
        try:
            event = decode_event(kind, body, seq)
            try:
                apply(account, event, at, seq)
            except UnreadableEvent as error:
                if lost is None or seq < lost:
                    raise
                account.at, account.seq = at, seq
                _log.warning("row_passed_over", user=account.user, seq=seq, error=str(error))
        except UnreadableEvent as error:
            raise damaged_of(error) from error


def start_of(user: str, stored: Snapshot | None, durable: int) -> Account | None:
    """The state of the user's snapshot; None if there is none that can be used.

    One that reflects more than what is ``durable`` cannot.
    """
    if stored is None:
        return None
    if stored.schema != snapshots.SCHEMA or stored.seq > durable:
        _log.warning("snapshot_ignored", user=user, schema=stored.schema, seq=stored.seq)
        return None
    try:
        return snapshots.decode_at(user, stored.seq, stored.body)
    except Unreadable as error:
        _log.warning("snapshot_unreadable", user=user, seq=stored.seq, error=str(error))
        return None
