"""What few calls and holds say: one optional part of what is stored of each.

Most calls have none, so they pay for one field that is not there. As `events`: fields are added
with a default and never edited.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ..scalars import Outcome, TokenCounting

DETAIL_NAMES: Final = {
    "outcome": "o",
    "key": "k",
    "tags": "t",
    "token_parts": "p",
    "token_counting": "c",
    "price_variant": "v",
    "price_factors": "f",
    "price_model": "m",
    "matched_by": "b",
    "variant_priced": "vp",
    "tier": "ti",
    "units": "n",
    "unpriced": "u",
    "alias": "a",
    "filled": "fl",
    "text": "x",
}
"""What the fields are called in the log."""


class UsageDetail(Struct, frozen=True, kw_only=True, omit_defaults=True, rename=DETAIL_NAMES):
    """What a call says beside the fields that nearly all have.

    Attributes:
        outcome: how the call ended, if the status code does not say it.
        key: the API key or device that made it: an id, never the secret.
        tags: dimensions of the caller's own.
        token_parts: what some of its tokens are, by the names of `dimensions.TOKEN_PARTS`.
        token_counting: ``exclusive`` if what the cache had was said beside the input; the stored
            input has it inside.
        price_variant: the variant that was asked for; ``variant_priced`` is false if the model
            has no row of it.
        price_factors: the multipliers that were asked for.
        price_model: the model whose row priced it; ``matched_by``: how that was found. Absent if
            ``priced`` says it: see `found_of`.
        tier: the bound of the tier that priced it.
        units: nano-units by unit, in the order of the names, without those that are 0.
        unpriced: names of what was sent above 0 and its price row does not price.
        alias: the provider as it was sent, if that is an alias that the catalogue has by a put.
        filled: which of ``model``, ``actual`` and ``counting`` the catalogue filled in otherwise
            than the program would.
        text: the provider is of the text group and none of the 14 of the contract.
    """

    outcome: Outcome | None = None
    key: str | None = None
    tags: dict[str, str] | None = None
    token_parts: dict[str, int] | None = None
    token_counting: TokenCounting | None = None
    price_variant: str | None = None
    price_factors: tuple[str, ...] | None = None
    price_model: str | None = None
    matched_by: str | None = None
    variant_priced: bool | None = None
    tier: int | None = None
    units: dict[str, int] | None = None
    unpriced: tuple[str, ...] = ()
    alias: str | None = None
    filled: tuple[str, ...] = ()
    text: bool = False


class HoldDetail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What few holds say; the fields are those of `UsageDetail`, and ``counts`` of the call."""

    key: str | None = None
    tags: dict[str, str] | None = None
    counts: dict[str, int] | None = None
    token_parts: dict[str, int] | None = None
    token_counting: TokenCounting | None = None
    price_variant: str | None = None
    price_factors: tuple[str, ...] | None = None
    units: dict[str, int] | None = None
    alias: str | None = None
    filled: tuple[str, ...] = ()
    text: bool = False


class PriceThen(Struct, frozen=True, array_like=True):
    """How the price of a hold was found when it was decided: the fields of its reply.

    ``model`` is None if it is the model of the call.
    """

    priced: str
    matched_by: str | None
    model: str | None
    unpriced: tuple[str, ...] = ()


NO_DETAIL: Final = UsageDetail()
NO_HOLD_DETAIL: Final = HoldDetail()
"""What one without a detail says."""
