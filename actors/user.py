"""The actor of one user: it holds the live state and takes requests in order.

`handle` is synchronous. It decides (pure), applies the events, prepares the reply and appends
the rows as its last step: whatever fails before leaves nothing behind in the log, and the
registry recovers the actor. The reply leaves when the rows are durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from actors.admission import admit
from actors.billing import snapshot as snapshots
from actors.billing.account import Account
from actors.billing.answers import answer
from actors.billing.duplicates import original
from actors.billing.notices import notifies
from actors.billing.recorded import Recorded, Refused
from actors.billing.rolling import due
from actors.billing.state import apply
from actors.changes import CHANGES
from actors.lookups import Facts, look_up
from actors.queries import QUERIES
from actors.reading import stored
from actors.recovery import load
from actors.runtime.registry import Detour
from actors.runtime.request import Request
from actors.services import Services
from messages.codec import decode_event, encode_event
from messages.events import KIND, Event
from messages.subjects import encode_user, partition_of
from persistence.journal import Row, Snapshot

PASSIVATION_EVENTS: Final = 16
"""A passive user's state is not written for fewer events: replaying them costs less."""


class UserActor:
    """One user's state and the requests on it."""

    __slots__ = ("_partition", "_unsaved", "account", "services")

    def __init__(self, account: Account, services: Services, unsaved: int = 0) -> None:
        self.account = account
        self.services = services
        self._unsaved = unsaved  # events since the newest snapshot
        self._partition = partition_of(encode_user(account.user))

    def handle(self, request: Request) -> Detour | None:
        """Take one request. See the module's docstring.

        Raises:
            RequestError: the request is refused; nothing of it happened.
        """
        services, account = self.services, self.account
        now = services.clock.now()
        if not admit(request, services, now):
            return Detour(self._look_up(request), blocks=True)
        at = max(now, account.at)
        if account.current is not None and account.current.end <= at:
            self._append(Recorded(due(account, at, services.catalog)), at)
        command = request.command
        return _HANDLERS[type(command)](self, request, command, at)

    def quiescent(self) -> bool:
        """Whether everything that the state reflects is durable."""
        return self.account.seq <= self.services.writer.durable

    def snapshot(self) -> None:
        """Have the state written, where replaying the rest of the log would cost more."""
        if self._unsaved >= PASSIVATION_EVENTS:
            self.save()

    def answer(self, request: Request, reply: object) -> None:
        """Answer when all that the reply reflects is durable."""
        request.prepare(reply)
        self.services.writer.after(self.account.seq, request)

    # -- what handlers are made of

    def decided(self, request: Request, decided: Recorded | Refused, at: int) -> None:
        """Record a change, or answer why it is none."""
        if isinstance(decided, Recorded):
            self.record(request, decided, at)
        else:
            self.answer(request, decided.reply)

    def record(self, request: Request, recorded: Recorded, at: int) -> None:
        """Apply and append a change, and prepare its reply."""
        key = request.key
        assert key is not None
        last = self.services.writer.next_seq + len(recorded.events) - 1
        request.payload = answer(recorded.events[-1], key, last, at)
        self._append(recorded, at, request)
        self.grown()

    def _append(self, recorded: Recorded, at: int, request: Request | None = None) -> None:
        key = None if request is None else request.key
        rows = self.rows_of(recorded, key, at, self.services.writer.next_seq)
        self.append(rows, request)

    def grown(self) -> None:
        """Have the state written now and then."""
        if self._unsaved >= self.services.snapshot_events:
            self.save()

    def rows_of(self, recorded: Recorded, key: str | None, at: int, seq: int) -> list[Row]:
        """Apply the events of a change; their rows from ``seq`` on, for `append`."""
        account, events = self.account, recorded.events
        rows: list[Row] = []
        last, about = len(events) - 1, None
        for index, event in enumerate(events):
            own = recorded.keys[index] if index < len(recorded.keys) else None
            if index == last:
                own = key
                if recorded.personal is not None:
                    about = encode_event(recorded.personal)
            if own is not None:
                self.services.keys.add(account.user, own)
            rows.append(self._row(event, own, at, seq, about))
            apply(account, event, at, seq)
            seq += 1
        return rows

    def append(self, rows: Sequence[Row], request: Request | None) -> None:
        """Have rows of applied events written, and the request answered then."""
        self._unsaved += len(rows)
        self.services.writer.append(rows, request)

    def _row(self, event: Event, key: str | None, at: int, seq: int, about: str | None) -> Row:
        kind, body, user = KIND[type(event)], encode_event(event), self.account.user
        return Row(seq, self._partition, user, key, kind, at, notifies(event), body, about)

    # -- what only the log knows

    async def _look_up(self, request: Request) -> bool:
        """Answer a duplicate from its row; True where the key turns out to be new."""
        key = request.key
        assert key is not None
        # The original may be in flight: after this its row is on disk.
        await stored(self.services.writer.barrier())
        row = await self.services.journal.find(self.account.user, key)
        if row is None:
            request.key_is_new = True
            return True
        event = decode_event(row.kind, row.body)
        request.payload = original(
            request.command, event, row.personal, key, row.seq, row.at, self.services.catalog
        )
        request.durable()
        return False

    def find(self, request: Request, keys: Sequence[str] = (), holds: Sequence[str] = ()) -> Detour:
        """Have keys and holds looked up for a request, which is then handled again."""

        async def find() -> bool:
            facts = request.facts = request.facts or Facts()
            await look_up(self.services, facts, self.account.user, keys, holds)
            return True

        return Detour(find(), blocks=True)

    def save(self) -> None:
        """Have the state written as a snapshot."""
        account = self.account
        body = snapshots.encode(account)
        self.services.writer.offer(
            Snapshot(self._partition, account.user, account.seq, snapshots.SCHEMA, body)
        )
        self._unsaved = 0


_HANDLERS: Final[Mapping[type, Callable[[UserActor, Request, Any, int], Detour | None]]] = {
    **CHANGES,
    **QUERIES,
}


async def recover(user: str, services: Services) -> UserActor:
    """Load a user's actor.

    Raises:
        Unavailable: the log cannot be read now.
        Corrupt: a row cannot be read.
    """
    account, unsaved = await load(user, services)
    return UserActor(account, services, unsaved)
