"""A user's state from the journal: the newest usable snapshot, then the rows after it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import structlog

from actors.billing.state.account import Account
from actors.persistent.context import ActorContext
from actors.runtime.unreadable import has_its_line
from actors.user.replay import replay, start_of
from messages.stored.errors import Unreadable
from persistence.damage import tell
from persistence.errors import Corrupt, JournalError
from persistence.records import Entry, Loaded

HISTORY_PAGE: Final = 1_000
REPLAYED_PER_TURN: Final = 64
"""Rows that are replayed before the loop gets a turn."""
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


class Restored(NamedTuple):
    """A user's state as far as it was made in one turn of the loop.

    Attributes:
        account: the state.
        rows: how many rows were replayed for it.
        left: rows that were read and are still to be replayed.
        whole: whether there are none behind them.
    """

    account: Account
    rows: int
    left: Sequence[Entry]
    whole: bool

    async def finish(self, context: ActorContext) -> int:
        """Replay what is left; how many rows that were.

        Raises:
            Unavailable: the log cannot be read now.
            Corrupt: a row cannot be read.
        """
        await _replay_in_turns(self.account, self.left, context)
        return len(self.left) + (0 if self.whole else await catch_up(self.account, context))


def begin(user: str, loaded: Loaded, context: ActorContext) -> Restored:
    """The state of what was read, or the first part of it.

    Raises:
        Corrupt: a row cannot be read.
    """
    snapshot, tail = loaded
    account = Account(user)
    if snapshot is not None:
        start = start_of(user, snapshot, context.writer.durable)
        if start is None:
            return Restored(account, 0, (), whole=False)  # the tail is that behind the snapshot
        account = start
    now, left = tail[:REPLAYED_PER_TURN], tail[REPLAYED_PER_TURN:]
    replay(account, now, context.queries.lost(user))
    return Restored(account, len(now), left, whole=len(tail) < TAIL)


Found: TypeAlias = Account | JournalError
"""A user's state, or why it cannot be loaded."""


async def load_together(users: Sequence[str], context: ActorContext) -> dict[str, Found]:
    """As `load` for at most `TOGETHER` users; what fails is logged.

    What is read of many users together costs a fraction of what it costs one by one.
    """
    try:
        loaded = await read_together(users, context)
    except JournalError:  # of one of them, maybe: so each is read by itself
        loaded = {}
    found: dict[str, Found] = {}
    for user in users:
        try:
            if user not in loaded:
                found[user], _ = await load(user, context)
            else:
                restored = begin(user, loaded[user], context)
                await restored.finish(context)
                found[user] = restored.account
        except JournalError as error:
            tell_unreadable(user, error)
            found[user] = error
        await asyncio.sleep(0)  # other requests wait for the loop
    return found


def tell_unreadable(user: str, error: JournalError | Unreadable) -> None:
    """Have the log say that a user cannot be read: of damage once for each place."""
    if isinstance(error, Corrupt | Unreadable):
        tell(error, user)
    elif not has_its_line(error):
        _log.error("user_unreadable", user=user, error=str(error))


async def catch_up(account: Account, context: ActorContext) -> int:
    """Apply all rows behind the state; how many there were."""
    count = 0
    while True:
        rows = await context.queries.history(account.user, account.seq, HISTORY_PAGE)
        entries = [(row.seq, row.kind, row.at, row.body) for row in rows]
        await _replay_in_turns(account, entries, context)
        count += len(rows)
        if len(rows) < HISTORY_PAGE:
            return count


async def _replay_in_turns(
    account: Account, entries: Sequence[Entry], context: ActorContext
) -> None:
    lost = context.queries.lost(account.user)
    for start in range(0, len(entries), REPLAYED_PER_TURN):
        await asyncio.sleep(0)  # other requests wait for the loop
        replay(account, entries[start : start + REPLAYED_PER_TURN], lost)
