"""Answers about admission: ``enforce``, ``preflight`` and the hold family.

As in `replies` every field is present, and money is an exact decimal of USD.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from msgspec import Struct

Number = int | Decimal
"""Counts stay integers; amounts of money are decimals of USD."""


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


class EnforceReply(Struct):
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
    seq: int


class Held(Struct):
    """What open holds set aside."""

    calls: int
    tokens: int
    cost: Decimal
    open: int


class HoldReply(Struct, kw_only=True):
    """`EnforceReply`, and the hold where it was granted."""

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


class HoldsReply(Struct, kw_only=True):
    """The open holds, oldest first."""

    holds: tuple[HoldEntry, ...]
    held: Held
    seq: int
