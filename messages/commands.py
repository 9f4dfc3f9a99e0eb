"""What a caller may ask of one user's actor: one frozen struct per verb.

The structs hold what was sent, checked for type and range. ``null`` stands for absent.
Money arrives as the text of a JSON number (`Raw`) and is parsed exactly by the codec.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

ABSENT: Final = Raw(b"null")

Key = Annotated[str, Meta(min_length=1, max_length=128)]
Text = Annotated[str, Meta(max_length=256)]
Endpoint = Annotated[str, Meta(max_length=1024)]
ErrorText = Annotated[str, Meta(max_length=4096)]
Tokens = Annotated[int, Meta(ge=0, le=10**9)]
Count = Annotated[int, Meta(ge=0, le=10**6)]
Size = Annotated[int, Meta(ge=0, le=10**12)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]
StatusCode = Annotated[int, Meta(ge=100, le=599)]
Moment = Annotated[datetime, Meta(tz=True)]
PeriodKey = Annotated[str, Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])(\.([2-9]|[1-9][0-9]+))?\Z")]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Text],
    Meta(max_length=16),
]


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


class Enforce(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """May this user make this call?"""

    provider: Text
    model_used: Text | None = None
    actual_provider_name: Text | None = None
    endpoint: Endpoint | None = None
    tokens_requested: Tokens | None = None
    cost_requested: Raw = ABSENT
    calls: Annotated[int, Meta(ge=1, le=1000)] | None = None
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


Change = Track | Reset
Read = Enforce | Stats | Logs
Command = Change | Read

COMMANDS: Final[dict[str, type[Command]]] = {
    "track": Track,
    "enforce": Enforce,
    "reset": Reset,
    "stats": Stats,
    "logs": Logs,
}
CHANGES: Final = frozenset({"track", "reset"})
