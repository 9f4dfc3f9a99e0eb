"""Look-ups before a change: keys that came before and holds that ended, which only the log knows.

The lookups run off the loop while the user's later requests wait, so nothing changes between
them and the change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence

from msgspec import Struct, field

from actors.billing.state.account import Account
from actors.persistent.context import ActorContext
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from actors.runtime.unreadable import refusal_of
from messages.errors import RequestError
from messages.stored.events import (
    KIND,
    HoldPlaced,
    HoldReleased,
)
from messages.usage import Track
from persistence.errors import ArchiveDamaged, Corrupt
from persistence.records import Row


class Facts(Struct):
    """What was looked up for one request.

    Attributes:
        rows: the user's rows of keys that came before, by key.
        ended: how holds ended that are not open, by id; others are unknown.
        raised: alerts that were raised, of those that are not unread.
        refused: of keys that may have come before and whose rows are damaged, what is said of it.
        batch: the decoded events of a batch and their keys.
        repeated: the keys that come more than once in it.
        registered: whether providers that it is the first to name were to be stored.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    raised: set[str] = field(default_factory=set)
    refused: dict[str, RequestError] = field(default_factory=dict)
    batch: tuple[list[Track | RequestError], list[str]] | None = None
    repeated: frozenset[str] = frozenset()
    registered: bool = False


def may_have_ended(account: Account, hold_id: str, context: ActorContext) -> bool:
    """Whether only the log can tell what became of a hold."""
    if account.holds is not None and hold_id in account.holds:
        return False
    # A hold's id is the key of its request, so a key that was never used is no hold.
    return hold_id not in account.ended and not context.keys.surely_new(account.user, hold_id)


def find(
    request: Request,
    context: ActorContext,
    keys: Sequence[str] = (),
    holds: Sequence[str] = (),
) -> Detour:
    """Have keys and holds of its user looked up for a request, which is then handled again."""
    # As of now. If it were called later, the actor that knew the ends of the other holds might
    # have been dropped in between.
    flushed = context.writer.flushed()

    async def work() -> bool:
        facts = request.facts = request.facts or Facts()
        await _look_up(context, facts, request.user, keys, holds, flushed)
        return True

    return Detour(work, blocks=True)


def register(request: Request, context: ActorContext, names: Iterable[str]) -> Detour | None:
    """Have providers stored that a request is the first to name; None if there is nothing to do.

    The request is then handled again, at once: those that are not stored are unknown then.
    """
    providers, facts = context.catalog.providers, request.facts
    if facts is not None and facts.registered:
        return None
    new = [name for name in dict.fromkeys(names) if providers.may_register(name)]
    if not new:
        return None

    async def work() -> bool:
        await context.register(new)
        known: Facts = request.facts or Facts()
        known.registered = True
        request.facts = known
        return True

    return Detour(work, blocks=True)


async def _look_up(
    context: ActorContext,
    facts: Facts,
    user: str,
    keys: Sequence[str],
    holds: Sequence[str],
    flushed: Awaitable[None],
) -> None:
    """Add the rows of keys and the ends of holds, after all that was appended is durable.

    Raises:
        JournalError: the log cannot be read, or what the actor knows is ahead of it.
    """
    await flushed
    if keys:
        facts.rows = await _rows_of(context, facts, user, keys)
    if not holds:
        return
    placed = await context.queries.find_all(user, holds)
    known = [key for key, row in placed.items() if row.kind == KIND[HoldPlaced]]
    ends = await context.queries.ended_by(user, known) if known else {}
    facts.ended |= dict.fromkeys(holds, "unknown") | dict.fromkeys(known, "expired")
    facts.ended |= {
        key: "released" if row.kind == KIND[HoldReleased] else "settled"
        for key, row in ends.items()
    }


async def _rows_of(
    context: ActorContext, facts: Facts, user: str, keys: Sequence[str]
) -> dict[str, Row]:
    """The rows of keys. In a batch a damaged one refuses its own event only, so it is looked for.

    Half of the keys at a time: of a thousand one is found by some twenty reads.
    """
    try:
        return await context.queries.find_all(user, keys)
    except (Corrupt, ArchiveDamaged) as error:
        if facts.batch is None:
            raise
        if len(keys) == 1:
            facts.refused[keys[0]] = refusal_of(error, "", user)
            return {}
    middle = len(keys) // 2
    rows = await _rows_of(context, facts, user, keys[:middle])
    return rows | await _rows_of(context, facts, user, keys[middle:])
