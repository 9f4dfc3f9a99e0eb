"""The actor of one user: it holds the live state and takes requests in order.

`handle` is synchronous. It decides (pure), applies the events, prepares the reply and appends
the rows as its last step: whatever fails before leaves nothing behind in the log, and the
registry recovers the actor. The reply leaves when the rows are durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from actors.admission import admit
from actors.billing import snapshot as snapshots
from actors.billing.account import Account
from actors.billing.answers import answer
from actors.billing.decisions import changed
from actors.billing.duplicates import original
from actors.billing.notices import notifies
from actors.billing.recorded import Recorded, Refused
from actors.billing.rolling import due
from actors.billing.state import apply
from actors.billing.track import personal_of, track, track_reply
from actors.changes import CHANGES
from actors.lookups import Facts, look_up
from actors.queries import QUERIES
from actors.reading import stored
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from actors.services import Services
from messages.codec import decode_event, encode_event, encode_reply
from messages.commands import Track
from messages.errors import RequestError
from messages.events import KIND, UsageRecorded
from messages.subjects import encode_user, partition_of
from persistence.journal import Row, Snapshot

PASSIVATION_EVENTS: Final = 16
"""A passive user's state is not written for fewer events: replaying them costs less."""

USAGE: Final = KIND[UsageRecorded]
_new: Final = tuple.__new__


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
            RequestError: the request is refused before it is looked at.
        """
        services, account = self.services, self.account
        now = services.clock.now()
        if not admit(request, services, now):
            return Detour(partial(self._look_up, request), blocks=True)
        at = max(now, account.at)
        if account.current is not None and account.current.end <= at:
            self.roll(at)
        command = request.command
        try:
            return _HANDLERS[type(command)](self, request, command, at)
        except RequestError as error:
            request.prepare_error(error)
            services.writer.after(account.seq, request)  # it may reflect what is not durable yet
            return None

    def quiescent(self) -> bool:
        """Whether everything that the state reflects is durable."""
        return self.account.seq <= self.services.writer.durable

    def snapshot(self) -> bool:
        """Have the state written, where replaying the rest of the log would cost more."""
        worth_it = self._unsaved >= PASSIVATION_EVENTS
        if worth_it:
            self.save()
        return worth_it

    def answer(self, request: Request, reply: object) -> None:
        """Answer when all that the reply reflects is durable."""
        self.respond(request, encode_reply(reply))

    def respond(self, request: Request, payload: bytes) -> None:
        """As `answer`, for a reply that is encoded."""
        request.payload = payload
        self.services.writer.after(self.account.seq, request)

    # -- what handlers are made of

    def roll(self, at: int) -> None:
        """Make the period of ``at`` the current one."""
        services = self.services
        rolled = Recorded(due(self.account, at, services.catalog))
        services.writer.append(self._rows_of(rolled, None, at, services.writer.next_seq))

    def decided(self, request: Request, decided: Recorded | Refused, at: int) -> None:
        """Record a change, or answer why it is none."""
        if isinstance(decided, Recorded):
            self.record(request, decided, at)
        else:
            self.respond(request, decided.reply)

    def record(self, request: Request, recorded: Recorded, at: int) -> None:
        """Apply and append a change, and prepare its reply."""
        key, events, writer = request.key, recorded.events, self.services.writer
        assert key is not None
        seq = writer.next_seq
        last = seq + len(events) - 1
        if recorded.text:
            request.payload = changed(recorded.text, key, last)
        else:
            request.payload = answer(events[-1], key, last, at)
        writer.append(self._rows_of(recorded, key, at, seq), request)
        self.grown()

    def count(
        self, call: Track, key: str, at: int, rows: list[Row], ended: Mapping[str, str] | None
    ) -> bytes:
        """Decide and apply a call that was made; its rows join ``rows``, which are to be appended.

        Its reply. ``ended`` says how holds ended, as in `track`.
        """
        services, account = self.services, self.account
        seq = services.writer.next_seq + len(rows)
        before, event = track(account, call, at, services.catalog, ended)
        if before:
            opening = self._rows_of(Recorded(before), None, at, seq)
            rows += opening
            seq += len(opening)
        personal = personal_of(call)
        if personal is not None and services.privacy is not None:
            personal = services.privacy.stored(personal)
        about = None if personal is None else encode_event(personal)
        notice = bool(event.alerts) or event.adjusted is not None  # as `notifies`
        body, user = encode_event(event), account.user
        apply(account, event, at, seq)
        # As Row(...), without a call of Python for each.
        row = _new(Row, (seq, self._partition, user, key, USAGE, at, notice, body, about))
        rows.append(row)
        self._unsaved += 1
        return track_reply(event, key, seq)

    def replayed(self, count: int) -> None:
        """So many events more than at first were behind the snapshot."""
        self._unsaved += count

    def grown(self) -> None:
        """Have the state written now and then."""
        if self._unsaved >= self.services.snapshot_events:
            self.save()

    def _rows_of(self, recorded: Recorded, key: str | None, at: int, seq: int) -> list[Row]:
        """Apply the events of a change; their rows from ``seq`` on, which the caller appends."""
        account, events, keys = self.account, recorded.events, recorded.keys
        user, last = account.user, len(events) - 1
        rows = []
        for index, event in enumerate(events):
            own = key if index == last else keys[index] if index < len(keys) else None
            kind, body, notice = KIND[type(event)], encode_event(event), notifies(event)
            apply(account, event, at, seq)
            rows.append(_new(Row, (seq, self._partition, user, own, kind, at, notice, body, None)))
            seq += 1
        self._unsaved += len(rows)
        return rows

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
        catalog, privacy = self.services.catalog, self.services.privacy
        request.payload = original(
            request.command, event, row.personal, key, row.seq, row.at, catalog, privacy
        )
        request.durable()
        return False

    def find(self, request: Request, keys: Sequence[str] = (), holds: Sequence[str] = ()) -> Detour:
        """Have keys and holds looked up for a request, which is then handled again."""
        settled = self.services.writer.barrier()

        async def find() -> bool:
            facts = request.facts = request.facts or Facts()
            await look_up(self.services, facts, self.account.user, keys, holds, settled)
            return True

        return Detour(find, blocks=True)

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
