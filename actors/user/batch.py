"""How a user's actor takes a ``batch``: many calls, one durable write.

The events are judged one after the other, each on top of those before it. A bad one is
answered with its error and never fails the others.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Final

from actors.billing.catalog.catalog import Catalog
from actors.billing.idempotency import original
from actors.billing.wire import fast
from actors.persistent.context import ActorContext
from actors.runtime.cell import Detour
from actors.runtime.request import Request
from actors.runtime.unreadable import refusal_of
from actors.user.ledger import Ledger
from actors.user.lookups import Facts, find, may_have_ended, register
from messages.codec import decode_batch, decode_event, encode_reply, quoted
from messages.errors import ErrorReply, RequestError
from messages.stored.errors import UnreadableEvent, made_of
from messages.units import to_datetime, to_micros
from messages.usage import Batch, ConvertedTrack, Track
from persistence.records import Row

REPLY_BYTES: Final = 580
"""What the reply of one event takes at most, without its texts and alerts."""
RESULT_BYTES_MAX: Final = 8192
"""Above what any result takes: its key, the names of its model and of who served it, four factors
and sixteen units take 6,000 bytes at most."""
_LONG: Final = datetime(2000, 1, 1, microsecond=1, tzinfo=UTC)
"""A time whose text is as long as any."""

Calls = list[Track | RequestError]


def batch(ledger: Ledger, request: Request, ask: Batch, at: int) -> Detour | None:
    """Record all good events of a batch, in order.

    Raises:
        RequestError: ``too_large``: over 1,000 events, or replies that do not fit into one.
    """
    context, account = ledger.context, ledger.account
    facts: Facts | None = request.facts
    if facts is None:
        calls = decode_batch(ask)
        keys = [_key_of(call, request.key or "", index) for index, call in enumerate(calls)]
        _check_size(calls, keys, context, at)
        facts = request.facts = Facts(batch=(calls, keys))
        if len(set(keys)) < len(keys):
            facts.repeated = frozenset(key for key, count in Counter(keys).items() if count > 1)
        known = [key for key in keys if not context.keys.claim(account.user, key)]
        named = {call.hold_id: None for call in calls if isinstance(call, Track) and call.hold_id}
        # As they are now: what the batch ends itself may be more than an account remembers.
        facts.ended = {name: account.ended[name] for name in named if name in account.ended}
        ended = [name for name in named if may_have_ended(account, name, context)]
        if known or ended:
            return find(request, context, keys=known, holds=ended)
    assert facts.batch is not None
    if context.catalog.providers.registers:
        detour = register(request, context, _new_providers(ledger, facts, at))
        if detour is not None:
            return detour
    work = _Work(ledger, facts, at, to_datetime(request.replies.now()))
    for call, key in zip(*facts.batch, strict=True):
        work.take(call, key)
    request.payload = work.reply(request.key or "")
    if work.rows:
        context.writer.append(work.rows, request)
        request.grew = True
        ledger.grown()
    else:
        context.writer.after(account.seq, request)
    return None


class _Work:
    """One batch while its events are judged."""

    def __init__(self, ledger: Ledger, facts: Facts, at: int, now: datetime) -> None:
        self.rows: list[Row] = []
        self._ledger = ledger
        self._facts = facts
        self._at = at
        self._now = now
        self._results: list[bytes] = []
        self._newest_known = 0  # position of the newest event that came before
        self._duplicates = 0
        self._rejected = 0

    def take(self, call: Track | RequestError, key: str) -> None:
        """Judge one event, on top of those before it."""
        try:
            if isinstance(call, RequestError):
                raise call
            known = self._facts.rows
            if key in self._facts.refused:
                raise self._facts.refused[key]
            if key in known:
                self._results.append(self._original(call, key, known[key]))
                self._duplicates += 1
                self._newest_known = max(self._newest_known, known[key].seq)
                return
            reply = self._ledger.count(call, key, self._at, self.rows, self._facts.ended)
            self._results.append(reply)
            if key in self._facts.repeated:
                known[key] = self.rows[-1]
        except RequestError as error:
            self._results.append(_refused(error, key, self._now))
            self._rejected += 1

    def reply(self, key: str) -> bytes:
        """The encoded `BatchReply`."""
        accepted = len(self._results) - self._duplicates - self._rejected
        repeated = self._duplicates > 0 and not accepted
        seq = self._newest_known if repeated else self._ledger.account.seq
        counts = (accepted, self._duplicates, self._rejected)
        return fast.batch(self._results, counts, key, seq, duplicate=repeated)

    def _original(self, call: Track, key: str, row: Row) -> bytes:
        catalog, privacy = self._ledger.context.catalog, self._ledger.context.privacy
        try:
            with made_of(row.kind, row.seq):
                event = decode_event(row.kind, row.body, row.seq)
                return original(call, event, row.personal, key, row.seq, row.at, catalog, privacy)
        except UnreadableEvent as error:
            raise refusal_of(error, "", row.user) from error


def _new_providers(ledger: Ledger, facts: Facts, at: int) -> list[str]:
    """The providers that calls with new keys are the first to name.

    A call that is refused stores none. It is refused for good: when the others' providers are
    there, it may be later.
    """
    assert facts.batch is not None
    calls, keys = facts.batch
    found: list[str] = []
    for index, (call, key) in enumerate(zip(calls, keys, strict=True)):
        if not isinstance(call, Track) or key in facts.rows or key in facts.refused:
            continue
        if not ledger.context.catalog.providers.may_register(call.provider):
            continue
        try:
            ledger.check(call, at, facts.ended)
        except RequestError as error:
            calls[index] = error
        else:
            found.append(call.provider)
    return found


def _key_of(call: Track | RequestError, key: str, index: int) -> str:
    return call.event_id or f"{key}.{index}"


def _check_size(calls: Calls, keys: list[str], context: ActorContext, at: int) -> None:
    """Refuse a batch whose reply would be too large, before anything of it happens."""
    if len(keys) * RESULT_BYTES_MAX <= context.page_bytes_max:
        return
    pairs = zip(calls, keys, strict=True)
    size = sum([_size_of(call, key, context.catalog, at) for call, key in pairs])
    if size > context.page_bytes_max:
        raise RequestError(
            "too_large", "the reply would be too large: send fewer events", field="events"
        )


def _size_of(call: Track | RequestError, key: str, catalog: Catalog, at: int) -> int:
    """What the result of an event takes in the reply, at most."""
    if isinstance(call, RequestError):
        return len(_refused(call, key, _LONG)) + 1
    texts = [key, *(call.units or ()), *(call.price_factors or ())]
    if isinstance(call, ConvertedTrack):
        texts += call.clipped
    try:
        names = (call.provider, call.model_used, call.actual_provider_name, call.endpoint)
        route = catalog.route(*names)
        moment = at if call.timestamp is None else min(at, to_micros(call.timestamp))
        found = catalog.priced(route, moment, call.price_variant or "")
        texts += (route.provider, route.actual, found.price.model)
    except RequestError:  # it is refused for that
        pass
    return REPLY_BYTES + sum([len(quoted(text).encode()) + 1 for text in texts])


def _refused(error: RequestError, key: str, now: datetime) -> bytes:
    return encode_reply(ErrorReply(error.body(key, now)))
