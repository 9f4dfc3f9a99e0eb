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
from typing import Final, TypeVar, Unpack

import msgspec

from ..admission import (
    EnforceReply,
    HoldReply,
    HoldsReply,
    PreflightReply,
    ReleaseReply,
)
from ..codec import decode_error
from ..errors import MeterdError, RequestError
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

_TRACK: Final = msgspec.json.Decoder(TrackReply)
_ENFORCE: Final = msgspec.json.Decoder(EnforceReply)
_RESET: Final = msgspec.json.Decoder(ResetReply)
_STATS: Final = msgspec.json.Decoder(StatsReply)
_LOGS: Final = msgspec.json.Decoder(LogsReply)
_BATCH: Final = msgspec.json.Decoder(BatchReply)
_PREFLIGHT: Final = msgspec.json.Decoder(PreflightReply)
_HOLD: Final = msgspec.json.Decoder(HoldReply)
_RELEASE: Final = msgspec.json.Decoder(ReleaseReply)
_HOLDS: Final = msgspec.json.Decoder(HoldsReply)
_TRENDS: Final = msgspec.json.Decoder(TrendsReply)
_ALERTS: Final = msgspec.json.Decoder(AlertsReply)
_ACK: Final = msgspec.json.Decoder(AckReply)
_CHANGE: Final = msgspec.json.Decoder(SubscriptionChangeReply)
_SUBSCRIPTION: Final = msgspec.json.Decoder(SubscriptionReply)
_DASHBOARD: Final = msgspec.json.Decoder(DashboardReply)

_T = TypeVar("_T")


class UsageClient(Caller):
    """Calls the verbs of meterd for a user and returns their typed replies.

    Settings and errors are those of `Caller`.
    """

    async def track(self, user: str, **fields: Unpack[TrackFields]) -> TrackReply:
        """A call was made: price it, log it, count it. Always records, also over a limit."""
        return _decode(_TRACK, await self.request("track", user, {**fields}))

    async def track_cloud_event(
        self, user: str, envelope: Mapping[str, object], **fields: Unpack[TrackFields]
    ) -> TrackReply:
        """A `track` that came as a CloudEvent 1.0.

        ``envelope`` has ``specversion``, ``id``, ``source`` and ``type``.
        """
        data = {name: value for name, value in fields.items() if value is not None}
        return _decode(_TRACK, await self.request("track", user, {**envelope, "data": data}))

    async def enforce(self, user: str, **fields: Unpack[EnforceFields]) -> EnforceReply:
        """May this user make this call? A limit that says no is a reply, not an error."""
        return _decode(_ENFORCE, await self.request("enforce", user, {**fields}))

    async def batch(
        self, user: str, events: Sequence[TrackFields], *, event_id: str | None = None
    ) -> BatchReply:
        """Up to 1,000 calls in one durable write; `outcomes` takes the reply apart."""
        body = {"events": list(events), "event_id": event_id}
        return _decode(_BATCH, await self.request("batch", user, body))

    async def preflight(
        self,
        user: str,
        operations: Sequence[OperationFields],
        *,
        hold: PreflightHoldFields | None = None,
    ) -> PreflightReply:
        """May this user make all of these calls? With ``hold`` each is set aside."""
        body = {"operations": list(operations), "hold": hold}
        return _decode(_PREFLIGHT, await self.request("preflight", user, body))

    async def hold(self, user: str, **fields: Unpack[HoldFields]) -> HoldReply:
        """Check a call and set aside what it needs; settle it by `track` with ``hold_id``."""
        return _decode(_HOLD, await self.request("hold", user, {**fields}))

    async def extend(self, user: str, hold_id: str, **fields: Unpack[ExtendFields]) -> HoldReply:
        """Have an open hold last longer, or hold other amounts."""
        return _decode(_HOLD, await self.request("extend", user, {"hold_id": hold_id, **fields}))

    async def release(
        self, user: str, hold_id: str, *, event_id: str | None = None
    ) -> ReleaseReply:
        """End an open hold: its call will not be made."""
        body = {"hold_id": hold_id, "event_id": event_id}
        return _decode(_RELEASE, await self.request("release", user, body))

    async def holds(self, user: str) -> HoldsReply:
        """The open holds, oldest first."""
        return _decode(_HOLDS, await self.request("holds", user, {}))

    async def reset(
        self, user: str, *, reason: str | None = None, event_id: str | None = None
    ) -> ResetReply:
        """Start the counters of the current period again."""
        body = {"reason": reason, "event_id": event_id}
        return _decode(_RESET, await self.request("reset", user, body))

    async def stats(self, user: str, *, billing_period: str | None = None) -> StatsReply:
        """The live summary of the current billing period, or of an earlier one."""
        body = {"billing_period": billing_period}
        return _decode(_STATS, await self.request("stats", user, body))

    async def logs(self, user: str, **fields: Unpack[LogsFields]) -> LogsReply:
        """A page of the usage log, newest arrival first."""
        return _decode(_LOGS, await self.request("logs", user, {**fields}))

    async def trends(self, user: str, *, months: int | None = None) -> TrendsReply:
        """The user's last periods side by side."""
        return _decode(_TRENDS, await self.request("trends", user, {"months": months}))

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
        return _decode(_ALERTS, await self.request("alerts", user, body))

    async def ack(
        self, user: str, ids: Sequence[str] | None = None, *, event_id: str | None = None
    ) -> AckReply:
        """Mark alerts read: those of ``ids``, all without."""
        body: dict[str, object] = {"event_id": event_id}
        body |= {"all": True} if ids is None else {"ids": list(ids)}
        return _decode(_ACK, await self.request("ack", user, body))

    async def subscribe(
        self, user: str, **fields: Unpack[SubscribeFields]
    ) -> SubscriptionChangeReply:
        """Put the user on a plan."""
        return _decode(_CHANGE, await self.request("subscribe", user, {**fields}))

    async def cancel(
        self, user: str, *, at_period_end: bool = True, event_id: str | None = None
    ) -> SubscriptionChangeReply:
        """End the subscription, with its billing cycle or at once."""
        body = {"at_period_end": at_period_end, "event_id": event_id}
        return _decode(_CHANGE, await self.request("cancel", user, body))

    async def suspend(
        self, user: str, *, reason: str | None = None, event_id: str | None = None
    ) -> SubscriptionChangeReply:
        """Have the user's calls refused until `resume`."""
        body = {"reason": reason, "event_id": event_id}
        return _decode(_CHANGE, await self.request("suspend", user, body))

    async def resume(self, user: str, *, event_id: str | None = None) -> SubscriptionChangeReply:
        """End a suspension."""
        return _decode(_CHANGE, await self.request("resume", user, {"event_id": event_id}))

    async def subscription(self, user: str) -> SubscriptionReply:
        """The subscription and its renewals."""
        return _decode(_SUBSCRIPTION, await self.request("subscription", user, {}))

    async def dashboard(self, user: str) -> DashboardReply:
        """Stats, trends, unread alerts and projections."""
        return _decode(_DASHBOARD, await self.request("dashboard", user, {}))


def outcomes(reply: BatchReply) -> list[TrackReply | RequestError]:
    """What became of each event of a batch, in their order."""
    found: list[TrackReply | RequestError] = []
    for result in reply.results:
        text = bytes(result)
        if text.startswith(b'{"error"'):
            found.append(decode_error(text))
        else:
            found.append(_decode(_TRACK, text))
    return found


def decode_stats(body: bytes) -> StatsReply:
    """The reply to ``stats`` of its JSON."""
    return _decode(_STATS, body)


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MeterdError(f"the reply is not one of meterd: {error}") from error
