"""Admission: ``enforce``, ``preflight`` and the hold family, and what they answer.

See `usage` for the forms of commands and replies.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

from msgspec import Meta, Raw, Struct

from .dimensions import COUNT_FIELDS
from .scalars import (
    ABSENT,
    Calls,
    Count,
    Endpoint,
    Factors,
    Key,
    KeyId,
    Moment,
    Tags,
    Text,
    TokenCounting,
    TokenParts,
    Tokens,
    Ttl,
    Units,
    Variant,
)

Number = int | Decimal
"""Counts stay integers; amounts of money are decimals of USD."""


class Enforce(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """May this user make this call?"""

    provider: Text
    model_used: Text | None = None
    actual_provider_name: Text | None = None
    endpoint: Endpoint | None = None
    tokens_requested: Tokens | None = None
    cost_requested: Raw = ABSENT
    calls: Calls | None = None
    tokens_input: Tokens | None = None
    tokens_output: Tokens | None = None
    tokens_cache_read: Tokens | None = None
    tokens_cache_write: Tokens | None = None
    tokens_reasoning: Tokens | None = None
    search_count: Count | None = None
    image_count: Count | None = None
    page_count: Count | None = None
    key: KeyId | None = None
    tags: Tags | None = None
    token_parts: TokenParts | None = None
    token_counting: TokenCounting | None = None
    price_variant: Variant | None = None
    price_factors: Factors | None = None
    units_requested: Units | None = None
    deadline: Moment | None = None


_FIELDS: Final = Enforce.__struct_fields__
DETAIL: Final = slice(_FIELDS.index(COUNT_FIELDS[0]), _FIELDS.index("deadline"))
"""Where in the tuple of an `Enforce` is what few say of a call to be made."""
UNSAID: Final = (None,) * (DETAIL.stop - DETAIL.start)
"""What most say of that."""
assert _FIELDS[DETAIL][: len(COUNT_FIELDS)] == COUNT_FIELDS, COUNT_FIELDS


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
    units_requested: Units | None = None
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


class LimitState(Struct, gc=False):
    """One limit that the call touches; ``remaining`` is limit - used - held."""

    name: str
    unit: str
    window: str
    kind: str
    limit: Number
    used: Number
    held: Number
    requested: Number
    remaining: Number
    percentage: float | None
    resets_at: datetime


class EnforceReply(Struct, kw_only=True):
    """Whether the call may be made, and every limit that decided it."""

    allowed: bool
    message: str
    reason_code: str
    provider: str
    actual_provider_name: str
    violated: tuple[str, ...]
    limits: tuple[LimitState, ...]
    usage_status: str
    billing_period: str
    retry_after: int | None
    priced: str | None = None
    price_model: str | None = None
    matched_by: str | None = None
    unpriced: tuple[str, ...] = ()
    seq: int


class Held(Struct):
    """What open holds set aside."""

    calls: int
    tokens: int
    cost: Decimal
    open: int


class HoldReply(Struct, kw_only=True):
    """`EnforceReply`, and the hold if it was granted."""

    allowed: bool
    message: str
    reason_code: str
    provider: str
    actual_provider_name: str
    violated: tuple[str, ...]
    limits: tuple[LimitState, ...]
    usage_status: str
    billing_period: str
    retry_after: int | None
    priced: str | None = None
    price_model: str | None = None
    matched_by: str | None = None
    unpriced: tuple[str, ...] = ()
    hold_id: str | None
    expires_at: datetime | None
    event_id: str
    duplicate: bool = False
    seq: int


class OperationReply(Struct, kw_only=True):
    """The decision on one operation of a ``preflight``."""

    operation_type: str | None
    allowed: bool
    message: str
    reason_code: str
    provider: str
    actual_provider_name: str
    violated: tuple[str, ...]
    limits: tuple[LimitState, ...]
    usage_status: str
    billing_period: str
    retry_after: int | None
    priced: str | None = None
    price_model: str | None = None
    matched_by: str | None = None
    unpriced: tuple[str, ...] = ()
    hold_id: str | None
    expires_at: datetime | None


class PreflightReply(Struct, kw_only=True):
    """Whether all operations may be made; those up to and with the first refused."""

    allowed: bool
    message: str
    reason_code: str
    failed_index: int | None
    operations: tuple[OperationReply, ...]
    event_id: str | None
    duplicate: bool = False
    seq: int


class ReleaseReply(Struct, kw_only=True):
    """The hold has ended."""

    released: bool = True
    hold_id: str
    event_id: str
    duplicate: bool = False
    seq: int


class HoldEntry(Struct, kw_only=True):
    """An open hold."""

    hold_id: str
    provider: str
    actual_provider_name: str
    model_used: str
    calls: int
    tokens: int
    cost: Decimal
    created_at: datetime
    expires_at: datetime
    key: str | None
    tags: dict[str, str] | None
    units: dict[str, Number]


class HoldsReply(Struct, kw_only=True):
    """The open holds, oldest first."""

    holds: tuple[HoldEntry, ...]
    held: Held
    seq: int
