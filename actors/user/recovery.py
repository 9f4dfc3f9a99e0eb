"""A user's state from the journal: the newest usable snapshot, then the rows after it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from actors.billing.state.account import Account
from actors.persistent.context import ActorContext
from actors.user.replay import replay, start_of
from persistence.errors import JournalError
from persistence.records import Loaded

HISTORY_PAGE: Final = 1_000
TOGETHER: Final = 64
"""Users that are read together."""
TAIL: Final = 256
"""Rows of each user that are read with those of others; the rest is read alone."""

_log = structlog.get_logger(__name__)


async def load(user: str, context: ActorContext, *, from_log: bool = False) -> tuple[Account, int]:
    """The user's state as of the end of the log, and how many rows its snapshot lacked.

    With ``from_log`` the snapshot is left alone.

    Raises:
        Unavailable: the log cannot be read now.
        Corrupt: a row cannot be read.
    """
    account = Account(user)
    if not from_log:
        stored = await context.queries.snapshot(user)
        account = start_of(user, stored, context.writer.durable) or account
    return account, await catch_up(account, context)


async def read_together(users: Sequence[str], context: ActorContext) -> dict[str, Loaded]:
    """What the states of at most `TOGETHER` users are made of, in one read; `begin` makes them.

    Raises:
        JournalError: it cannot be read, perhaps of one of them only.
    """
    return await context.queries.load(users, TAIL) if users else {}


def begin(user: str, loaded: Loaded, context: ActorContext) -> tuple[Account, int, bool]:
    """The state of what was read, the rows replayed for it, and whether it is as `load` gives it.

    If it is not, `catch_up` has to follow.

    Raises:
        Corrupt: a row cannot be read.
    """
    snapshot, tail = loaded
    account = Account(user)
    if snapshot is not None:
        start = start_of(user, snapshot, context.writer.durable)
        if start is None:
            return account, 0, False  # the tail is that behind the snapshot
        account = start
    replay(account, tail)
    return account, len(tail), len(tail) < TAIL


async def load_together(users: Sequence[str], context: ActorContext) -> dict[str, Account | None]:
    """As `load` for at most `TOGETHER` users; None if that failed, which is logged.

    What is read of many users together costs a fraction of what it costs one by one.
    """
    try:
        loaded = await read_together(users, context)
    except JournalError:  # of one of them, maybe: so each is read by itself
        loaded = {}
    found: dict[str, Account | None] = {}
    for user in users:
        try:
            if user not in loaded:
                found[user], _ = await load(user, context)
            else:
                account, _, whole = begin(user, loaded[user], context)
                if not whole:
                    await catch_up(account, context)
                found[user] = account
        except JournalError as error:
            _log.error("user_unreadable", user=user, error=str(error))
            found[user] = None
        await asyncio.sleep(0)  # other requests wait for the loop
    return found


async def catch_up(account: Account, context: ActorContext) -> int:
    """Apply all rows behind the state; how many there were."""
    count = 0
    while True:
        rows = await context.queries.history(account.user, account.seq, HISTORY_PAGE)
        replay(account, [(row.seq, row.kind, row.at, row.body) for row in rows])
        count += len(rows)
        if len(rows) < HISTORY_PAGE:
            return count
