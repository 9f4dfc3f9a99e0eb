"""What a caller may ask of one user's actor: one frozen struct per verb.

The structs hold what was sent, checked for type and range. ``null`` stands for absent.
Money arrives as the text of a JSON number (`Raw`) and is parsed exactly by the codec.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Raw, Struct

from messages.scalars import (
    ABSENT,
    Calls,
    Count,
    Endpoint,
    ErrorText,
    Key,
    Metadata,
    Moment,
    PeriodKey,
    Seconds,
    Size,
    StatusCode,
    Text,
    Tokens,
    Ttl,
)


class Track(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A call was made: price it, log it, count it."""

    provider: Text
    event_id: Key | None = None
    endpoint: Endpoint | None = None
    method: Text | None = None
    model_used: Text | None = None
    actual_provider_name: Text | None = None
    tokens_input: Tokens | None = None
    tokens_output: Tokens | None = None
    tokens_cache_read: Tokens | None = None
    tokens_cache_write: Tokens | None = None
    tokens_reasoning: Tokens | None = None
    search_count: Count | None = None
    image_count: Count | None = None
    page_count: Count | None = None
    response_time: Seconds | None = None
    status_code: StatusCode | None = None
    request_size: Size | None = None
    response_size: Size | None = None
    user_agent: Text | None = None
    ip_address: Text | None = None
    error_message: ErrorText | None = None
    retry_count: Count | None = None
    timestamp: Moment | None = None
    cost: Raw = ABSENT
    hold_id: Text | None = None
    metadata: Metadata | None = None
    deadline: Moment | None = None


class CloudTrack(Track, frozen=True, kw_only=True, gc=False):
    """A ``track`` that came as a CloudEvent 1.0.

    The event's ``id`` is its key, where the data has none, and ``source`` a part of its content.
    """

    source: Text = ""


class Keyed(Struct):
    """What names a request whose body may be wrong in every other way."""

    event_id: Key | None = None


class Marked(Struct):
    """What tells a CloudEvent from a plain ``track``."""

    specversion: Raw = ABSENT


class CloudEvent(Struct, frozen=True, kw_only=True):
    """The envelope of CloudEvents 1.0 in structured JSON; its extensions are left alone."""

    specversion: Literal["1.0"]
    id: Key
    source: Annotated[str, Meta(min_length=1, max_length=256)]
    type: Annotated[str, Meta(min_length=1, max_length=256)]
    data: Raw
    time: Moment | None = None
    datacontenttype: Literal["application/json"] | None = None


class Enforce(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """May this user make this call?"""

    provider: Text
    model_used: Text | None = None
    actual_provider_name: Text | None = None
    endpoint: Endpoint | None = None
    tokens_requested: Tokens | None = None
    cost_requested: Raw = ABSENT
    calls: Calls | None = None
    deadline: Moment | None = None


class Reset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Start the counters of the current period again."""

    reason: Text | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class Stats(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The live summary of the current period, or of an earlier one."""

    billing_period: PeriodKey | None = None
    deadline: Moment | None = None


class Logs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of the usage log, newest arrival first."""

    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    provider: Text | None = None
    status_code: StatusCode | None = None
    billing_period: PeriodKey | None = None
    event_id: Key | None = None
    since: Moment | None = None
    until: Moment | None = None
    deadline: Moment | None = None


class Batch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to 1,000 ``track`` bodies, an array as sent: one bad event never fails the others."""

    events: Raw
    event_id: Key | None = None
    deadline: Moment | None = None


class Operation(Enforce, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of a ``preflight``."""

    operation_type: Text | None = None


class PreflightHold(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Have each operation of a ``preflight`` set aside."""

    ttl: Ttl | None = None
    event_id: Key | None = None


class Preflight(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """May this user make all of these calls?"""

    operations: Annotated[list[Operation], Meta(min_length=1, max_length=100)]
    hold: PreflightHold | None = None
    deadline: Moment | None = None

    @property
    def event_id(self) -> str | None:
        """The key of the holds."""
        return None if self.hold is None else self.hold.event_id


class Hold(Enforce, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Check a call and set aside what it needs, in one step."""

    ttl: Ttl | None = None
    event_id: Key | None = None


class Extend(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Have a hold last ``ttl`` seconds from now, or hold other amounts."""

    hold_id: Text
    ttl: Ttl | None = None
    tokens_requested: Tokens | None = None
    cost_requested: Raw = ABSENT
    event_id: Key | None = None
    deadline: Moment | None = None


class Release(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End a hold: its call will not be made."""

    hold_id: Text
    event_id: Key | None = None
    deadline: Moment | None = None


class Holds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The open holds."""

    deadline: Moment | None = None


class Trends(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user's last periods."""

    months: Annotated[int, Meta(ge=1, le=36)] | None = None
    deadline: Moment | None = None


class Alerts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The alerts that were raised, newest first."""

    unread_only: bool | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    billing_period: PeriodKey | None = None
    deadline: Moment | None = None


class Ack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mark alerts read: those of ``ids``, or all."""

    ids: Annotated[list[Text], Meta(max_length=1000)] | None = None
    all: bool | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class Subscribe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put the user on a plan; ``overrides`` replace limits of the plan for this user."""

    plan: Text
    billing_cycle: Literal["monthly", "yearly"]
    auto_renew: bool | None = None
    period_start: Moment | None = None
    period: Literal["keep", "new"] | None = None
    overrides: dict[Text, Raw] | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class Cancel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End the subscription, with its billing cycle or at once."""

    at_period_end: bool | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class Suspend(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Have ``enforce``, ``hold`` and ``preflight`` refuse until ``resume``."""

    reason: Text | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class Resume(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """End a suspension."""

    event_id: Key | None = None
    deadline: Moment | None = None


class Subscription(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The subscription and its history."""

    deadline: Moment | None = None


class Dashboard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stats, trends, unread alerts and projections in one reply."""

    deadline: Moment | None = None


Change = (
    Track | Batch | Hold | Extend | Release | Reset | Ack | Subscribe | Cancel | Suspend | Resume
)
Read = Enforce | Preflight | Holds | Stats | Trends | Logs | Alerts | Subscription | Dashboard
Command = Change | Read

COMMANDS: Final[dict[str, type[Command]]] = {
    "track": Track,
    "batch": Batch,
    "enforce": Enforce,
    "preflight": Preflight,
    "hold": Hold,
    "extend": Extend,
    "release": Release,
    "holds": Holds,
    "reset": Reset,
    "stats": Stats,
    "trends": Trends,
    "logs": Logs,
    "alerts": Alerts,
    "ack": Ack,
    "subscribe": Subscribe,
    "cancel": Cancel,
    "suspend": Suspend,
    "resume": Resume,
    "subscription": Subscription,
    "dashboard": Dashboard,
}
CHANGES: Final = frozenset(
    {
        *("track", "batch", "preflight", "hold", "extend", "release", "reset", "ack"),
        *("subscribe", "cancel", "suspend", "resume"),
    }
)
"""The verbs that take a key; a ``preflight`` changes something only where it holds."""
