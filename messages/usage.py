"""Calls that were made: ``track``, ``batch`` and ``reset``, and what they answer.

A command holds what was sent, checked for type and range; ``null`` stands for absent. Every field
that a reply has is present, ``null`` if it does not apply. Money in a command is the text of a
JSON number (`Raw`), which the codec parses exactly; in a reply it is an exact decimal of USD.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

from msgspec import Meta, Raw, Struct

from .dimensions import COUNT_FIELDS
from .scalars import (
    ABSENT,
    TEXT_MAX,
    Count,
    Endpoint,
    ErrorText,
    Factors,
    Key,
    KeyId,
    Metadata,
    Moment,
    Outcome,
    Seconds,
    Size,
    StatusCode,
    Tags,
    Text,
    TokenCounting,
    TokenParts,
    Tokens,
    Units,
    Variant,
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
    outcome: Outcome | None = None
    key: KeyId | None = None
    tags: Tags | None = None
    token_parts: TokenParts | None = None
    token_counting: TokenCounting | None = None
    price_variant: Variant | None = None
    price_factors: Factors | None = None
    units: Units | None = None
    deadline: Moment | None = None


_FIRST: Final = Track.__struct_fields__.index(COUNT_FIELDS[0])
COUNTS: Final = slice(_FIRST, _FIRST + len(COUNT_FIELDS))
"""Where in the tuple of a call its `Counts` are."""
assert Track.__struct_fields__[COUNTS] == COUNT_FIELDS, COUNT_FIELDS

DETAIL: Final = slice(
    Track.__struct_fields__.index("outcome"), Track.__struct_fields__.index("deadline")
)
"""Where in the tuple of a call is what few calls say: see `messages.stored.detail`."""
UNSAID: Final = (None,) * (DETAIL.stop - DETAIL.start)
"""What most calls say of that."""


SIDE_FIELDS: Final = (
    "endpoint",
    "method",
    "user_agent",
    "ip_address",
    "error_message",
    "cost",
    "metadata",
)
"""The fields that are cut if they do not fit, in the order in which ``clipped`` names them."""


class ConvertedTrack(Track, frozen=True, kw_only=True, gc=False):
    """A ``track`` that was not sent as it is here: side fields were cut, or it is a CloudEvent.

    ``clipped`` names the side fields that are not as they were sent, but for the cost, which is
    rounded when it is read. ``source`` is that of a CloudEvent and a part of its content; the
    event's ``id`` is the key if the data has none.
    """

    clipped: tuple[str, ...] = ()
    source: Text | None = None


class Keyed(Struct):
    """What names a request whose body may be wrong in every other way."""

    event_id: Key | None = None


class Marked(Struct):
    """What tells a CloudEvent from a plain ``track``."""

    specversion: Raw = ABSENT


class Envelope(Struct, frozen=True, kw_only=True):
    """The attributes of a CloudEvent 1.0; its extensions are left alone."""

    specversion: Literal["1.0"]
    id: Key
    source: Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]
    type: Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]
    time: Moment | None = None
    datacontenttype: Text | None = None


class CloudEvent(Envelope, frozen=True, kw_only=True):
    """A CloudEvent in structured JSON."""

    data: Raw


class Reset(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Start the counters of the current period again."""

    reason: Text | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class Batch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to 1,000 ``track`` bodies, an array as sent: one bad event never fails the others."""

    events: Raw
    event_id: Key | None = None
    deadline: Moment | None = None


class TrackReply(Struct, kw_only=True, gc=False):
    """The call is stored and counted; costs in USD."""

    usage_logged: bool = True
    event_id: str
    duplicate: bool = False
    cost: Decimal
    cost_input: Decimal
    cost_output: Decimal
    cost_catalog: Decimal | None
    tokens_used: int
    billing_period: str
    usage_status: str
    priced: str
    provider: str
    actual_provider_name: str
    late: bool
    price_model: str | None = None
    matched_by: str | None = None
    hold_status: str | None
    late_settle: bool
    alerts: tuple[str, ...]
    clipped: tuple[str, ...] = ()
    variant_priced: bool | None = None
    tier: int | None = None
    unpriced: tuple[str, ...] = ()
    seq: int


class BatchReply(Struct, kw_only=True):
    """For each event, in order, the text of its `TrackReply` or error body."""

    results: tuple[Raw, ...]
    accepted: int
    duplicates: int
    rejected: int
    event_id: str
    duplicate: bool = False
    seq: int


class ResetReply(Struct, kw_only=True):
    """Whether the counters were started again."""

    reset: bool
    counters_reset: bool
    reason: str | None
    billing_period: str
    event_id: str
    duplicate: bool = False
    seq: int
