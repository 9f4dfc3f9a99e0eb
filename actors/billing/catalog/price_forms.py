"""A price as it is sent and shown, in USD, and as it is stored, in pico-USD. Pure."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any, Final, NamedTuple

import msgspec

from actors.billing.catalog.prices import FACTOR_DECIMALS, FACTOR_ONE, Price, Tier
from messages.codec import money_of
from messages.dimensions import DIMENSIONS, PART_NAMES, TOKEN_PRICES
from messages.errors import InvalidRequest
from messages.prices import (
    PriceEntry,
    PricesPut,
    PutTier,
    PutUnitPrice,
    TierEntry,
    UnitPriceEntry,
)
from messages.stored.catalog import PriceTier
from messages.units import PRICE_DECIMALS_MAX, to_datetime

_FACTOR_MAX: Final = 1_000 * FACTOR_ONE
_TO_USD: Final = Decimal(-PRICE_DECIMALS_MAX)
_TO_FACTOR: Final = Decimal(-FACTOR_DECIMALS)
_EXACT: Final = Context(prec=40)
_UNIT_PRICE: Final = msgspec.json.Decoder(PutUnitPrice)


class Row(NamedTuple):
    """What is put, in pico-USD; without what is not priced."""

    variant: str
    amounts: dict[str, int]
    parts: tuple[str, ...]
    tiers: tuple[PriceTier, ...]
    units: dict[str, tuple[int, int]]
    multipliers: dict[str, int]
    aliases: tuple[str, ...]

    def further(self) -> dict[str, Any]:
        """What a price of v1 does not have, as far as this one has it."""
        found = {
            "variant": self.variant,
            "parts": {name: self.amounts[name] for name in self.parts},
            "tiers": self.tiers,
            "units": self.units,
            "multipliers": self.multipliers,
            "aliases": self.aliases,
        }
        return {name: value for name, value in found.items() if value}


def row_of(ask: PricesPut) -> Row:
    """What a request puts.

    Raises:
        InvalidRequest: naming the field that is no amount, or cannot be as it is.
    """
    own = _costs(ask, [(one.price, one.cost_field) for one in DIMENSIONS])
    parts = _parts(ask.token_parts)
    return Row(
        variant=ask.variant or "",
        amounts=own | parts,
        parts=tuple(sorted(parts)),
        tiers=_tiers(ask.tiers or []),
        units={name: _unit(raw) for name, raw in sorted((ask.units or {}).items())},
        multipliers={name: _factor(raw) for name, raw in sorted((ask.multipliers or {}).items())},
        aliases=tuple(sorted({*(ask.aliases or ())})),
    )


def _costs(ask: PricesPut | PutTier, names: list[tuple[str, str]]) -> dict[str, int]:
    found = {name: money_of(getattr(ask, f), f, PRICE_DECIMALS_MAX) for name, f in names}
    return {name: amount for name, amount in found.items() if amount is not None}


def _parts(asked: dict[Any, msgspec.Raw] | None) -> dict[str, int]:
    found = {
        str(name): money_of(raw, "token_parts", PRICE_DECIMALS_MAX)
        for name, raw in (asked or {}).items()
    }
    return {name: amount for name, amount in found.items() if amount is not None}


def _tiers(asked: list[PutTier]) -> tuple[PriceTier, ...]:
    found: list[PriceTier] = []
    for tier in asked:
        if found and tier.above_input_tokens <= found[-1].above:
            raise InvalidRequest("above_input_tokens is not above that of the tier before", "tiers")
        amounts = _costs(tier, [(one.price, one.cost_field) for one in TOKEN_PRICES])
        amounts |= _parts(tier.token_parts)
        if not amounts:
            raise InvalidRequest("a tier needs at least one cost", "tiers")
        found.append(PriceTier(tier.above_input_tokens, amounts))
    return tuple(found)


def _unit(raw: msgspec.Raw) -> tuple[int, int]:
    """Pico-USD, and for how many of the unit."""
    per = 1
    if bytes(raw).startswith(b"{"):
        try:
            found = _UNIT_PRICE.decode(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidRequest(f"not the price of a unit: {error}", "units") from None
        raw, per = found.usd, found.per or 1
    amount = money_of(raw, "units", PRICE_DECIMALS_MAX)
    if amount is None:
        raise InvalidRequest("the price of a unit must be a number", "units")
    return amount, per


def _factor(raw: msgspec.Raw) -> int:
    factor = money_of(raw, "multipliers", FACTOR_DECIMALS)
    if factor is None or factor > _FACTOR_MAX:
        raise InvalidRequest("a multiplier is a number from 0 to 1,000", "multipliers")
    return factor


def entry_of(row: Price) -> PriceEntry:
    """A price as a list shows it."""
    costs: dict[str, Any] = {
        one.cost_field: usd_of(amount)
        for one, amount in zip(DIMENSIONS, row.rates.amounts, strict=True)
    }
    terms = row.terms
    return PriceEntry(
        provider=row.provider,
        model=row.model,
        **costs,
        variant=row.variant,
        tiers=() if terms is None else tuple([_tier_entry(tier) for tier in terms.tiers]),
        token_parts=_shown_parts(dict(zip(PART_NAMES, row.rates.parts, strict=True))),
        units={}
        if terms is None
        else {name: _unit_entry(*unit) for name, unit in terms.units.items()},
        multipliers={}
        if terms is None
        else {name: _EXACT.scaleb(one, _TO_FACTOR) for name, one in terms.multipliers.items()},
        aliases=row.aliases,
        effective_from=to_datetime(row.effective_from),
        version=row.version,
    )


def _tier_entry(tier: Tier) -> TierEntry:
    costs: dict[str, Any] = {
        one.cost_field: usd_of(tier.own.get(one.price)) for one in TOKEN_PRICES
    }
    parts = {name: tier.own.get(name) for name in PART_NAMES}
    return TierEntry(above_input_tokens=tier.above, **costs, token_parts=_shown_parts(parts))


def _shown_parts(parts: dict[str, int | None]) -> dict[str, Decimal]:
    return {name: _usd(amount) for name, amount in parts.items() if amount is not None}


def _unit_entry(pico: int, per: int) -> Decimal | UnitPriceEntry:
    return _usd(pico) if per == 1 else UnitPriceEntry(usd=_usd(pico), per=per)


def usd_of(pico: int | None) -> Decimal | None:
    """An amount of a stored price in USD."""
    return None if pico is None else _usd(pico)


def _usd(pico: int) -> Decimal:
    return _EXACT.scaleb(pico, _TO_USD)
