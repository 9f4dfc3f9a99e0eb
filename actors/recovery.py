"""A user's state from the journal: the newest usable snapshot, then the rows after it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from actors.billing import snapshot as snapshots
from actors.billing.account import Account
from actors.billing.state import apply
from actors.services import Services
from messages.codec import decode_event
from persistence.errors import Corrupt, JournalError
from persistence.journal import Row, Snapshot

HISTORY_PAGE: Final = 1_000
TOGETHER: Final = 64
"""Users that are read together."""
TAIL: Final = 256
"""Rows of each that are read with those of the others; what is beyond them by itself."""

_log = structlog.get_logger(__name__)


async def load(user: str, services: Services, *, from_log: bool = False) -> tuple[Account, int]:
    """The user's state as of the end of the log, and how many rows its snapshot lacked.

    With ``from_log`` the snapshot is left alone.

    Raises:
        Unavailable: the log cannot be read now.
        Corrupt: a row cannot be read.
    """
    account = Account(user)
    if not from_log:
        account = _start(user, await services.journal.snapshot(user), services)
    return account, await _catch_up(account, services)


async def load_together(users: Sequence[str], services: Services) -> dict[str, Account | None]:
    """As `load` for at most `TOGETHER` users; None where that failed, which is logged.

    What is read of many users together costs a fraction of what it costs one by one.
    """
    if not users:
        return {}
    try:
        accounts, tails = await _begin(users, services)
    except JournalError:  # of one of them, maybe: so each is read by itself
        accounts, tails = {}, {}
    found: dict[str, Account | None] = {}
    for user in users:
        try:
            account = accounts.get(user)
            if account is None:
                account, _ = await load(user, services)
            elif user in tails:
                await _follow(account, tails[user], services)
            found[user] = account
        except JournalError as error:
            _log.error("user_unreadable", user=user, error=str(error))
            found[user] = None
    return found


async def _begin(
    users: Sequence[str], services: Services
) -> tuple[dict[str, Account], dict[str, list[Row]]]:
    """The state of each user's snapshot, and the first rows behind it."""
    stored = await services.journal.snapshots(users)
    accounts = {user: _start(user, stored.get(user), services) for user in users}
    positions = [(user, account.seq) for user, account in accounts.items()]
    return accounts, await services.journal.tails(positions, TAIL)


async def _follow(account: Account, tail: Sequence[Row], services: Services) -> None:
    """Apply the rows of `_begin`, and those behind them where there are more."""
    _replay(account, tail)
    await asyncio.sleep(0)  # other requests wait for the loop
    if len(tail) == TAIL:
        await _catch_up(account, services)


async def _catch_up(account: Account, services: Services) -> int:
    """Apply all rows behind the state; how many there were."""
    count = 0
    while True:
        rows = await services.journal.history(account.user, account.seq, HISTORY_PAGE)
        _replay(account, rows)
        count += len(rows)
        if len(rows) < HISTORY_PAGE:
            return count


def _replay(account: Account, rows: Sequence[Row]) -> None:
    for row in rows:
        try:
            apply(account, decode_event(row.kind, row.body), row.at, row.seq)
        except (KeyError, TypeError, ValueError) as error:  # DecodeError is a ValueError
            raise Corrupt(f"row {row.seq} ({row.kind}) cannot be read: {error}") from error


def _start(user: str, stored: Snapshot | None, services: Services) -> Account:
    """The state of the user's snapshot; an empty one where it cannot be used."""
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
