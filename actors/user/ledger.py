"""One user's state and its way into the log: what the handlers of requests work with.

A change is applied to the state, its reply is prepared and its rows are appended last: whatever
fails before leaves nothing behind in the log. The reply leaves when the rows are durable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from actors.billing.changes import CHANGES
from actors.billing.effects import Effect, Persist
from actors.billing.periods.rollover import due
from actors.billing.publications import notifies
from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account
from actors.billing.state.apply import apply
from actors.billing.usage.privacy import personal_of
from actors.billing.usage.track import track
from actors.billing.wire import fast
from actors.persistent.context import ActorContext
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from messages.codec import encode_event, encode_reply
from messages.stored.events import (
    KIND,
    Event,
    UsageRecorded,
)
from messages.subjects import encode_user, partition_of
from messages.usage import Track
from persistence.records import Row, Snapshot

USAGE: Final = KIND[UsageRecorded]
_new: Final = tuple.__new__


class Ledger:
    """One user's state, ahead of the log by what is being written.

    Args:
        account: the state.
        context: what actors share.
        unsaved: events since the newest snapshot.

    Attributes: as the arguments. `state.apply` changes the account, nothing else does.
    """

    __slots__ = ("_partition", "account", "context", "unsaved")

    def __init__(self, account: Account, context: ActorContext, unsaved: int = 0) -> None:
        self.account = account
        self.context = context
        self.unsaved = unsaved
        self._partition = partition_of(encode_user(account.user))

    def answer(self, request: Request, reply: object) -> None:
        """Answer when all that the reply reflects is durable."""
        self.respond(request, encode_reply(reply))

    def respond(self, request: Request, payload: bytes) -> None:
        """As `answer`, for a reply that is encoded."""
        request.payload = payload
        self.context.writer.after(self.account.seq, request)

    def roll(self, at: int) -> None:
        """Make the period of ``at`` the current one."""
        context = self.context
        rolled = Persist(due(self.account, at, context.catalog))
        context.writer.append(self._rows_of(rolled, None, at, context.writer.next_seq))

    def note(self, request: Request, events: tuple[Event, ...], at: int) -> None:
        """Append what happened without anybody's key, and answer when it is durable."""
        request.payload = b"{}"
        writer = self.context.writer
        if not events:
            writer.after(self.account.seq, request)
            return
        writer.append(self._rows_of(Persist(events), None, at, writer.next_seq), request)
        self.grown()

    def take(self, request: Request, effect: Effect, at: int) -> None:
        """Record what a change came to, or answer why it did not happen."""
        if isinstance(effect, Persist):
            self.record(request, effect, at)
        else:
            self.respond(request, fast.reply(effect.shown, effect.key, self.account.seq))

    def record(self, request: Request, effect: Persist, at: int) -> None:
        """Apply and append a change, and prepare its reply."""
        key, events, writer = request.key, effect.events, self.context.writer
        assert key is not None
        seq = writer.next_seq
        last = seq + len(events) - 1
        change = CHANGES[type(request.command)]
        shown = effect.shown or change.reply(events[-1], at)
        request.payload = fast.reply(shown, key, last)
        writer.append(self._rows_of(effect, key, at, seq), request)
        request.grew = True
        self.grown()

    def count(
        self, call: Track, key: str, at: int, rows: list[Row], ended: Mapping[str, str] | None
    ) -> bytes:
        """Decide and apply a call that was made; its rows join ``rows``, which are to be appended.

        Its reply. ``ended`` says how holds ended, as in `track`.
        """
        context, account = self.context, self.account
        seq = context.writer.next_seq + len(rows)
        ahead = at - context.times.latest
        before, event = track(account, call, at, context.catalog, ended, ahead)
        if before:
            opening = self._rows_of(Persist(before), None, at, seq)
            rows += opening
            seq += len(opening)
        personal = personal_of(call)
        if personal is not None and context.privacy is not None:
            personal = context.privacy.stored(personal)
        about = None if personal is None else encode_event(personal)
        notice = bool(event.alerts) or event.adjusted is not None  # as `notifies`
        body, user = encode_event(event), account.user
        apply(account, event, at, seq)
        # As Row(...), without a call of Python for each.
        row = _new(Row, (seq, self._partition, user, key, USAGE, at, notice, body, about))
        rows.append(row)
        self.unsaved += 1
        return fast.tracked(event, key, seq)

    def check(self, call: Track, at: int, ended: Mapping[str, str] | None) -> None:
        """Raise what `count` would, and change nothing."""
        context = self.context
        track(self.account, call, at, context.catalog, ended, at - context.times.latest)

    def replayed(self, count: int) -> None:
        """Count further events behind the snapshot that were replayed."""
        self.unsaved += count

    def grown(self) -> None:
        """Have the state written if enough events are new."""
        if self.unsaved >= self.context.snapshot_events:
            self.save()

    def _rows_of(self, effect: Persist, key: str | None, at: int, seq: int) -> list[Row]:
        """Apply the events of a change; their rows from ``seq`` on, which the caller appends."""
        account, events, keys = self.account, effect.events, effect.keys
        user, last = account.user, len(events) - 1
        rows = []
        for index, event in enumerate(events):
            own = key if index == last else keys[index] if index < len(keys) else None
            kind, body, notice = KIND[type(event)], encode_event(event), notifies(event)
            apply(account, event, at, seq)
            rows.append(_new(Row, (seq, self._partition, user, own, kind, at, notice, body, None)))
            seq += 1
        self.unsaved += len(rows)
        return rows

    def save(self) -> None:
        """Have the state written as a snapshot."""
        account = self.account
        body = snapshots.encode(account)
        self.context.writer.offer(
            Snapshot(self._partition, account.user, account.seq, snapshots.SCHEMA, body)
        )
        self.unsaved = 0


Handler: TypeAlias = Callable[[Ledger, Request, Any, int], Detour | None]
"""Takes one verb: the user's ledger, the request, its command and the moment.

It answers by the ledger, or returns the detour after which it is called again.
"""
