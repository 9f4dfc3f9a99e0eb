"""Prices on the wire: what may be asked of them, and answers.

Amounts of money arrive as the text of a JSON number, as in `usage`, and leave as decimals.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Raw, Struct

from .catalog import Cursor, Name
from .scalars import (
    ABSENT,
    Count,
    Factor,
    Factors,
    Identifier,
    Key,
    Moment,
    PartName,
    Text,
    TokenCounting,
    TokenParts,
    Tokens,
    Units,
    Variant,
    Version,
)


class PricesList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices, with those that were and will be valid."""

    provider: Text | None = None
    model: Text | None = None
    cursor: Cursor | None = None
    deadline: Moment | None = None


class PutTier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of tokens for a call whose input is larger than a bound."""

    above_input_tokens: Tokens
    cost_per_input_token: Raw = ABSENT
    cost_per_output_token: Raw = ABSENT
    cost_per_cache_read_token: Raw = ABSENT
    cost_per_cache_write_token: Raw = ABSENT
    cost_per_reasoning_token: Raw = ABSENT
    token_parts: dict[PartName, Raw] | None = None


class PutUnitPrice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """USD for so many of a unit."""

    usd: Raw
    per: Annotated[int, Meta(ge=1, le=10**9)] | None = None


class PricesCancel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take back a price that is not in force yet."""

    provider: Text
    model: Name
    effective_from: Moment
    variant: Variant | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class PricesPut(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price from a moment on; ``version`` is that of a listed row and is not looked at."""

    provider: Text
    model: Name
    cost_per_input_token: Raw = ABSENT
    cost_per_output_token: Raw = ABSENT
    cost_per_cache_read_token: Raw = ABSENT
    cost_per_cache_write_token: Raw = ABSENT
    cost_per_reasoning_token: Raw = ABSENT
    cost_per_request: Raw = ABSENT
    cost_per_search: Raw = ABSENT
    cost_per_image: Raw = ABSENT
    cost_per_page: Raw = ABSENT
    variant: Variant | None = None
    tiers: Annotated[list[PutTier], Meta(max_length=4)] | None = None
    token_parts: dict[PartName, Raw] | None = None
    units: Annotated[dict[Identifier, Raw], Meta(max_length=32)] | None = None
    multipliers: Annotated[dict[Factor, Raw], Meta(max_length=32)] | None = None
    aliases: Annotated[list[Name], Meta(max_length=64)] | None = None
    effective_from: Moment | None = None
    version: Version | None = None
    event_id: Key | None = None
    deadline: Moment | None = None


class EstimateCost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a call would cost now; the words of ``text`` count as input tokens."""

    provider: Text
    model_used: Text | None = None
    tokens_input: Tokens | None = None
    tokens_output: Tokens | None = None
    tokens_cache_read: Tokens | None = None
    tokens_cache_write: Tokens | None = None
    tokens_reasoning: Tokens | None = None
    text: str | None = None
    search_count: Count | None = None
    image_count: Count | None = None
    page_count: Count | None = None
    token_parts: TokenParts | None = None
    token_counting: TokenCounting | None = None
    price_variant: Variant | None = None
    price_factors: Factors | None = None
    units: Units | None = None
    deadline: Moment | None = None


class TierEntry(Struct, kw_only=True):
    """What a call costs whose input is larger than a bound; null: what the row has."""

    above_input_tokens: int
    cost_per_input_token: Decimal | None
    cost_per_output_token: Decimal | None
    cost_per_cache_read_token: Decimal | None
    cost_per_cache_write_token: Decimal | None
    cost_per_reasoning_token: Decimal | None
    token_parts: dict[str, Decimal]


class UnitPriceEntry(Struct, kw_only=True):
    """USD for so many of a unit."""

    usd: Decimal
    per: int


class PriceEntry(Struct, kw_only=True):
    """A price in USD per unit, null if the unit is not priced."""

    provider: str
    model: str
    cost_per_input_token: Decimal | None
    cost_per_output_token: Decimal | None
    cost_per_cache_read_token: Decimal | None
    cost_per_cache_write_token: Decimal | None
    cost_per_reasoning_token: Decimal | None
    cost_per_request: Decimal | None
    cost_per_search: Decimal | None
    cost_per_image: Decimal | None
    cost_per_page: Decimal | None
    variant: str
    tiers: tuple[TierEntry, ...]
    token_parts: dict[str, Decimal]
    units: dict[str, Decimal | UnitPriceEntry]
    multipliers: dict[str, Decimal]
    aliases: tuple[str, ...]
    effective_from: datetime
    version: int


class PricesReply(Struct, kw_only=True):
    """Prices by provider, model and moment; a page may end before all are shown."""

    prices: tuple[PriceEntry, ...]
    next_cursor: str | None
    version: int
    seq: int


class PricePutReply(Struct, kw_only=True):
    """The price as it is stored."""

    price: PriceEntry
    version: int
    event_id: str
    duplicate: bool = False
    seq: int


class PriceCancelReply(Struct, kw_only=True):
    """The price that was taken back."""

    provider: str
    model: str
    variant: str
    effective_from: datetime
    version: int
    event_id: str
    duplicate: bool = False
    seq: int


class EstimateReply(Struct, kw_only=True):
    """What the call would cost, in USD, and how the price was found."""

    cost: Decimal
    cost_input: Decimal
    cost_output: Decimal
    tokens_input: int
    tokens_output: int
    priced: str
    price_model: str | None = None
    matched_by: str | None = None
    variant_priced: bool | None = None
    tier: int | None = None
    unpriced: tuple[str, ...] = ()
    seq: int


class PricesUnpriced(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Models whose calls since a moment were charged the estimate, or by an undated name."""

    since: Moment | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] | None = None
    cursor: Cursor | None = None
    deadline: Moment | None = None


class UnpricedEntry(Struct, kw_only=True):
    """What the calls of a model come to that has no price of its own.

    ``how`` is ``estimate``, or ``undated`` if a row was found by a part of the name. ``variant``
    is the one that was asked for, "" without one. ``cost`` is what was charged, in USD. ``users``
    are at least so many if ``users_capped``. Seen is when a call was made, or arrived if that is
    earlier.
    """

    provider: str
    model: str
    variant: str
    how: str
    calls: int
    tokens: int
    cost: Decimal
    users: int
    users_capped: bool
    first_seen: datetime
    last_seen: datetime


class UnpricedReply(Struct, kw_only=True):
    """Models without a price, most calls first.

    ``complete_since``: calls that arrived before may be missing; None: none is. ``unread`` rows
    of the log could not be looked at.
    """

    rows: tuple[UnpricedEntry, ...]
    next_cursor: str | None
    complete_since: datetime | None
    unread: int
    seq: int
