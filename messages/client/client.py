"""The caller's side: one method per verb, with a deadline, a key and retries.

    async with await UsageClient.connect("nats://127.0.0.1:4222") as client:
        decision = await client.enforce("alice", provider="openai", tokens_requested=900)
        if decision.allowed:
            ...
            await client.track("alice", provider="openai", tokens_input=374, tokens_output=44)

A call that changes something carries an idempotency key that stays the same over its
retries, so that a reply that got lost never counts anything twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar, Unpack

import msgspec
from msgspec import Struct

from ..admission import (
    EnforceReply,
    HoldReply,
    HoldsReply,
    PreflightReply,
    ReleaseReply,
)
from ..codec import decode_error
from ..errors import MeterdError, RequestError
from ..prices import (
    UnpricedReply,
)
from ..reports import (
    AckReply,
    AlertsReply,
    DashboardReply,
    LogsReply,
    StatsReply,
    TrendsReply,
)
from ..subscriptions import SubscriptionChangeReply, SubscriptionReply
from ..usage import BatchReply, ResetReply, TrackReply
from ..verbs import BY_NAME
from .fields import (
    EnforceFields,
    ExtendFields,
    HoldFields,
    LogsFields,
    OperationFields,
    PreflightHoldFields,
    SubscribeFields,
    TrackFields,
)
from .transport import Caller

_DECODERS: Final = {verb.name: msgspec.json.Decoder(verb.reply) for verb in BY_NAME.values()}

_TRACKED: Final = msgspec.json.Decoder(TrackReply)
_UNPRICED: Final = msgspec.json.Decoder(UnpricedReply)
_SUMMARY: Final = msgspec.json.Decoder(StatsReply)

_T = TypeVar("_T")


class UsageClient(Caller):
    """Calls the verbs of meterd for a user and returns their typed replies.

    Settings and errors are those of `Caller`. Each verb of one user has a method; `call` takes
    any of them by name. Of the catalogue's verbs `unpriced` has one.
    """

    async def call(self, user: str, verb: str, **fields: object) -> Struct:
        """Ask for any verb about a user; the reply, as the struct that `messages.verbs` names.

        A verb of the catalogue is about no user: `request_catalog` asks for it.
        """
        if verb not in _DECODERS:
            raise RequestError("unknown_verb", f"there is no verb {verb!r}")
        return _decode(_DECODERS[verb], await self.request(verb, user, fields))

    async def _ask(self, kind: type[_T], verb: str, user: str, body: Mapping[str, object]) -> _T:
        reply = _decode(_DECODERS[verb], await self.request(verb, user, body))
        assert isinstance(reply, kind)
        return reply

    async def track(self, user: str, **fields: Unpack[TrackFields]) -> TrackReply:
        """A call was made: price it, log it, count it. Always records, also over a limit."""
        return await self._ask(TrackReply, "track", user, {**fields})

    async def track_cloud_event(
        self, user: str, envelope: Mapping[str, object], **fields: Unpack[TrackFields]
    ) -> TrackReply:
        """A `track` that came as a CloudEvent 1.0.

        ``envelope`` has ``specversion``, ``id``, ``source`` and ``type``.
        """
        data = {name: value for name, value in fields.items() if value is not None}
        return await self._ask(TrackReply, "track", user, {**envelope, "data": data})

    async def enforce(self, user: str, **fields: Unpack[EnforceFields]) -> EnforceReply:
        """May this user make this call? A limit that says no is a reply, not an error."""
        return await self._ask(EnforceReply, "enforce", user, {**fields})

    async def batch(
        self, user: str, events: Sequence[TrackFields], *, event_id: str | None = None
    ) -> BatchReply:
        """Up to 1,000 calls in one durable write; `outcomes` takes the reply apart."""
        body = {"events": list(events), "event_id": event_id}
        return await self._ask(BatchReply, "batch", user, body)

    async def preflight(
        self,
        user: str,
        operations: Sequence[OperationFields],
        *,
        hold: PreflightHoldFields | None = None,
    ) -> PreflightReply:
        """May this user make all of these calls? With ``hold`` each is set aside."""
        body = {"operations": list(operations), "hold": hold}
        return await self._ask(PreflightReply, "preflight", user, body)

    async def hold(self, user: str, **fields: Unpack[HoldFields]) -> HoldReply:
        """Check a call and set aside what it needs; settle it by `track` with ``hold_id``."""
        return await self._ask(HoldReply, "hold", user, {**fields})

    async def extend(self, user: str, hold_id: str, **fields: Unpack[ExtendFields]) -> HoldReply:
        """Have an open hold last longer, or hold other amounts."""
        return await self._ask(HoldReply, "extend", user, {"hold_id": hold_id, **fields})

    async def release(
        self, user: str, hold_id: str, *, event_id: str | None = None
    ) -> ReleaseReply:
        """End an open hold: its call will not be made."""
        body = {"hold_id": hold_id, "event_id": event_id}
        return await self._ask(ReleaseReply, "release", user, body)

    async def holds(self, user: str) -> HoldsReply:
        """The open holds, oldest first."""
        return await self._ask(HoldsReply, "holds", user, {})

    async def reset(
        self, user: str, *, reason: str | None = None, event_id: str | None = None
    ) -> ResetReply:
        """Start the counters of the current period again."""
        body = {"reason": reason, "event_id": event_id}
        return await self._ask(ResetReply, "reset", user, body)

    async def stats(self, user: str, *, billing_period: str | None = None) -> StatsReply:
        """The live summary of the current billing period, or of an earlier one."""
        body = {"billing_period": billing_period}
        return await self._ask(StatsReply, "stats", user, body)

    async def logs(self, user: str, **fields: Unpack[LogsFields]) -> LogsReply:
        """A page of the usage log, newest arrival first."""
        return await self._ask(LogsReply, "logs", user, {**fields})

    async def trends(self, user: str, *, months: int | None = None) -> TrendsReply:
        """The user's last periods side by side."""
        return await self._ask(TrendsReply, "trends", user, {"months": months})

    async def alerts(
        self,
        user: str,
        *,
        unread_only: bool | None = None,
        limit: int | None = None,
        billing_period: str | None = None,
    ) -> AlertsReply:
        """The alerts that were raised, newest first."""
        body = {"unread_only": unread_only, "limit": limit, "billing_period": billing_period}
        return await self._ask(AlertsReply, "alerts", user, body)

    async def ack(
        self, user: str, ids: Sequence[str] | None = None, *, event_id: str | None = None
    ) -> AckReply:
        """Mark alerts read: those of ``ids``, all without."""
        body: dict[str, object] = {"event_id": event_id}
        body |= {"all": True} if ids is None else {"ids": list(ids)}
        return await self._ask(AckReply, "ack", user, body)

    async def subscribe(
        self, user: str, **fields: Unpack[SubscribeFields]
    ) -> SubscriptionChangeReply:
        """Put the user on a plan."""
        return await self._ask(SubscriptionChangeReply, "subscribe", user, {**fields})

    async def cancel(
        self, user: str, *, at_period_end: bool = True, event_id: str | None = None
    ) -> SubscriptionChangeReply:
        """End the subscription, with its billing cycle or at once."""
        body = {"at_period_end": at_period_end, "event_id": event_id}
        return await self._ask(SubscriptionChangeReply, "cancel", user, body)

    async def suspend(
        self, user: str, *, reason: str | None = None, event_id: str | None = None
    ) -> SubscriptionChangeReply:
        """Have the user's calls refused until `resume`."""
        body = {"reason": reason, "event_id": event_id}
        return await self._ask(SubscriptionChangeReply, "suspend", user, body)

    async def resume(self, user: str, *, event_id: str | None = None) -> SubscriptionChangeReply:
        """End a suspension."""
        return await self._ask(SubscriptionChangeReply, "resume", user, {"event_id": event_id})

    async def subscription(self, user: str) -> SubscriptionReply:
        """The subscription and its renewals."""
        return await self._ask(SubscriptionReply, "subscription", user, {})

    async def unpriced(
        self,
        *,
        since: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> UnpricedReply:
        """Models of all users that have no price of their own, most calls first.

        To look at a long log takes seconds, so a try has the whole budget: give the client one of
        ten seconds, or read ``complete_since`` of the reply.
        """
        body = {"since": since, "limit": limit, "cursor": cursor}
        reply = await self.request_catalog("prices.unpriced", body)
        return _decode(_UNPRICED, reply)

    async def dashboard(self, user: str) -> DashboardReply:
        """Stats, trends, unread alerts and projections."""
        return await self._ask(DashboardReply, "dashboard", user, {})


def outcomes(reply: BatchReply) -> list[TrackReply | RequestError]:
    """What became of each event of a batch, in their order."""
    found: list[TrackReply | RequestError] = []
    for result in reply.results:
        text = bytes(result)
        if text.startswith(b'{"error"'):
            found.append(decode_error(text))
        else:
            found.append(_decode(_TRACKED, text))
    return found


def decode_stats(body: bytes) -> StatsReply:
    """The reply to ``stats`` of its JSON."""
    return _decode(_SUMMARY, body)


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MeterdError(f"the reply is not one of meterd: {error}") from error
