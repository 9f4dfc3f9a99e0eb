"""A user's state from the journal: the newest usable snapshot, then the rows after it."""

from __future__ import annotations

from typing import Final

import msgspec
import structlog

from actors.billing import snapshot as snapshots
from actors.billing.account import Account
from actors.billing.state import apply
from actors.services import Services
from messages.codec import decode_event
from persistence.errors import Corrupt

HISTORY_PAGE: Final = 1_000

_log = structlog.get_logger(__name__)


async def load(user: str, services: Services, *, from_log: bool = False) -> tuple[Account, int]:
    """The user's state as of the end of the log, and how many rows its snapshot lacked.

    With ``from_log`` the snapshot is left alone.

    Raises:
        Unavailable: the log cannot be read now.
        Corrupt: a row cannot be read.
    """
    account = Account(user) if from_log else await _start(user, services)
    unsaved = 0
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
            return account, unsaved


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
