"""``catalog.users.list``: a page of users with what a period of each counts.

Users that are live and at rest are read in memory; the others from the log, many together.
A user whose log cannot be read is listed by id alone, so a walk over all users gets past it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

import msgspec

from actors.billing.catalog.pages import cursor_of, read_cursor
from actors.billing.counters.slots import totals
from actors.billing.limits.thresholds import level_of_all
from actors.billing.periods.rollover import current_of, due
from actors.billing.state.account import Account, Period, status_of
from actors.billing.state.apply import apply
from actors.catalog.ranking import Ranking, place_of, text_of
from actors.persistent.context import ActorContext
from actors.persistent.in_turns import fitting_in_turns
from actors.runtime.request import Request
from actors.runtime.unreadable import FAILED
from actors.user.log_reads import sealed_as
from actors.user.recovery import TOGETHER, load_together, tell_unreadable
from messages.catalog import UserEntry, UsersList, UsersReply
from messages.codec import encode_reply
from messages.errors import InvalidRequest, RequestError
from messages.units import MICROS_PER_SECOND, to_datetime, usd
from persistence.errors import JournalError

PAGE: Final = 50
RANKED_MAX: Final = 200_000
"""Users that a page looks at if it is not in the order of their ids."""
RANKED_S: Final = 10
"""How long it does, unless its request has a deadline: it keeps one of few detours busy."""
TURN: Final = 16
"""Users who are looked at before the loop gets a turn."""


async def list_users(context: ActorContext, request: Request, ask: UsersList, at: int) -> bool:
    """Answer with the users of a page, each as the log has it.

    Raises:
        RequestError: ``invalid_request`` for another's cursor, or for too many users to sort;
            ``deadline_exceeded`` while they are sorted.
        JournalError: the users cannot be found; one who cannot be read is no error.
    """
    listing = _Listing(context, ask.billing_period, at)
    by_id = ask.sort in {None, "id"}
    entries, cursor = await (_by_id if by_id else _ranked)(context, request, ask, listing)
    request.prepare(UsersReply(users=entries, next_cursor=cursor, seq=listing.seq))
    request.durable()
    return False


_Page = tuple[tuple[Any, ...], str | None]
"""The entries of a page, and the cursor of the next one."""


async def _by_id(context: ActorContext, _: Request, ask: UsersList, listing: _Listing) -> _Page:
    limit, prefix, digest = ask.limit or PAGE, ask.prefix or "", _digest(ask)
    after = read_cursor(ask.cursor, digest, str) if ask.cursor else ""
    names = await context.queries.users(after, limit + 1, prefix)
    beyond = len(names) > limit
    names = names[:limit]
    shown, size = 0, 0
    entries: list[UserEntry] = []
    for start in range(0, len(names), TOGETHER):
        lump = names[start : start + TOGETHER]
        found = await listing.entries(lump)
        for name in lump:
            entry = found.get(name)
            size += 0 if entry is None else len(encode_reply(entry)) + 1
            if entries and size > context.page_bytes_max:
                break
            entries += [] if entry is None else [entry]
            shown += 1
        if shown < start + len(lump):
            break
    last = shown == len(names) and not beyond
    return tuple(entries), None if last else cursor_of(names[shown - 1], digest)


async def _ranked(
    context: ActorContext, request: Request, ask: UsersList, listing: _Listing
) -> _Page:
    """All users are looked at, some in a turn of the loop, until the deadline is over."""
    until = request.deadline or request.replies.now() + RANKED_S * MICROS_PER_SECOND
    limit, digest = ask.limit or PAGE, _digest(ask)
    after = read_cursor(ask.cursor, digest, place_of) if ask.cursor else None
    ranking = Ranking(ask.sort or "", limit + 1, after)
    seen, name = 0, ""
    while names := await context.queries.users(name, TOGETHER, ask.prefix or ""):
        if request.replies.now() > until:
            why = f"to sort took until the deadline, or {RANKED_S} s without one: give a prefix"
            raise RequestError("deadline_exceeded", why)
        seen, name = seen + len(names), names[-1]
        if seen > RANKED_MAX:
            message = f"sort looks at {RANKED_MAX:,} users at most: give a prefix"
            raise InvalidRequest(message, "sort")
        ranking.take((await listing.entries(names)).values())
    best = ranking.best()
    entries = await fitting_in_turns((user for _, user in best[:limit]), context.page_bytes_max)
    if len(entries) == len(best):
        return tuple(entries), None
    return tuple(entries), cursor_of(text_of(best[len(entries) - 1][0]), digest)


def _digest(ask: UsersList) -> str:
    """What binds a cursor to its filters and its order."""
    filters: list[str | None] = [ask.billing_period, ask.prefix or ""]
    if ask.sort not in {None, "id"}:
        filters.append(ask.sort)
    return blake2b(msgspec.json.encode(filters), digest_size=6).hexdigest()


class _Listing:
    """Finds what a period counts, user by user.

    Args:
        context: what actors share.
        key: of the period that is asked for, None for each user's current one.
        at: now.

    Attributes:
        seq: the newest position that the entries reflect.
    """

    def __init__(self, context: ActorContext, key: str | None, at: int) -> None:
        self.seq = context.writer.durable
        self._context = context
        self._key = key
        self._at = at

    async def entries(self, names: Sequence[str]) -> dict[str, UserEntry]:
        """The entries of at most `TOGETHER` users, without those who do not have the period."""
        found: dict[str, UserEntry] = {}
        away: list[str] = []
        left: dict[str, int] = {}
        for count, name in enumerate(names, 1):
            if count % TURN == 0:
                await asyncio.sleep(0)  # other requests wait for the loop
            account = self._at_rest(name)
            if account is None:
                away.append(name)
            else:
                self._look_at(account, found, left)
        loaded = await load_together(away, self._context)
        for count, (name, how) in enumerate(loaded.items(), 1):
            if count % TURN == 0:
                await asyncio.sleep(0)
            if isinstance(how, JournalError):
                found[name] = UserEntry(user_id=name)
                continue
            # A boundary that has passed takes a period out of the state, but not of the log yet.
            before = None if self._key is None else how.period(self._key)
            for event in due(how, self._at, self._context.catalog):  # as its own read would
                apply(how, event, self._at, how.seq)
            self._look_at(how, found, left, before)
        for name, seq in left.items():
            await self._look_back(name, seq, found)
        return found

    def _at_rest(self, name: str) -> Account | None:
        """The state of a live user that the log has in full, and that no boundary has passed."""
        account = self._context.live(name)
        if account is None or account.seq > self._context.writer.durable:
            return None
        current = account.current
        return account if current is None or self._at < current.end else None

    def _look_at(
        self,
        account: Account,
        found: dict[str, UserEntry],
        left: dict[str, int],
        period: Period | None = None,
    ) -> None:
        """Add the user's entry, or where to look for a period that has left the state.

        ``period`` is the one asked for, if it is known.
        """
        self.seq = max(self.seq, account.seq)
        key = self._key
        if key is None:
            period = current_of(account, self._at, self._context.catalog)
        else:
            period = period or account.period(key)
        if period is not None:
            found[account.user] = _entry(account.user, period)
        elif account.sealed and key is not None and key[:7] in account.months:
            left[account.user] = account.seq

    async def _look_back(self, name: str, seq: int, found: dict[str, UserEntry]) -> None:
        """Add the user's entry if the period is among those that left the state."""
        assert self._key is not None
        try:
            period, _ = await sealed_as(self._context.queries, name, seq, self._key)
        except FAILED as error:
            tell_unreadable(name, error)
            found[name] = UserEntry(user_id=name)
            return
        if period is not None:
            found[name] = _entry(name, period)


def _entry(name: str, period: Period) -> UserEntry:
    used = period.used
    level = level_of_all(used, period.layout, period.table)
    calls, tokens, cost = totals(used, period.layout)
    return UserEntry(
        user_id=name,
        plan=period.terms.name,
        billing_period=period.key,
        total_calls=calls,
        total_tokens=tokens,
        total_cost=usd(cost),
        usage_status=status_of({"all": level} if level else {}),
        last_updated=None if period.last_updated is None else to_datetime(period.last_updated),
    )
