"""A price: one row of the catalogue, valid from a moment on. Contract and contract 1.1, section 4.

Unit prices are pico-USD. A row without `Terms` is one of v1, as most are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import Final, NamedTuple

from actors.billing.catalog.rates import Amounts, Rates, rates_of
from messages.dimensions import DIMENSIONS, TOKEN_PARTS
from messages.quantities import NANO_PER_UNIT

FACTOR_DECIMALS: Final = 4
FACTOR_ONE: Final = 10**FACTOR_DECIMALS
"""A multiplier of 1."""

DEFAULT: Final = "default"
"""The model whose price holds for the models of its provider without a price."""


class Tier(NamedTuple):
    """What a call is charged by whose input is larger than a bound.

    Attributes:
        above: in tokens of the input; strictly.
        rates: for the whole call.
        own: the amounts that it has of its own, in pico-USD.
    """

    above: int
    rates: Rates
    own: Amounts


class UnitPrice(NamedTuple):
    """``pico`` USD for ``per`` of a unit, pro rata."""

    pico: int
    per: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What few prices have.

    Attributes:
        tiers: by their bounds, ascending.
        units: what else is priced, by the id of the unit.
        multipliers: factors of the charge for tokens, in ten-thousandths.
        unit_scale: a common denominator of the prices of units, which are for nano-units.
    """

    tiers: tuple[Tier, ...]
    units: dict[str, UnitPrice]
    multipliers: dict[str, int]
    unit_scale: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One row of the price list.

    Attributes:
        variant: of the model, as ``batch``; "": the model itself.
        aliases: other names of the model.
        plain: whether a call that says nothing but its tokens needs no more than `rates`.
        terms: what few prices have.
    """

    provider: str
    model: str
    version: int
    effective_from: int
    rates: Rates
    variant: str = ""
    aliases: tuple[str, ...] = ()
    plain: bool = False
    terms: Terms | None = None

    def tier_of(self, tokens_input: int) -> Tier | None:
        """The tier that a call of so many tokens of the input is charged by, None for none."""
        found = None
        if self.terms is not None:
            for tier in self.terms.tiers:
                if tier.above >= tokens_input:
                    break
                found = tier
        return found


def price(
    provider: str,
    model: str,
    amounts: Amounts,
    *,
    version: int = 1,
    effective_from: int = 0,
    variant: str = "",
    aliases: tuple[str, ...] = (),
    tiers: tuple[tuple[int, Amounts], ...] = (),
    units: dict[str, UnitPrice] | None = None,
    multipliers: dict[str, int] | None = None,
) -> Price:
    """A row, of the amounts of its own and of its tiers: a tier replaces those that it has."""
    rates = rates_of(amounts)
    terms = None
    if tiers or units or multipliers:
        scale = lcm(*[one.per for one in (units or {}).values()]) * NANO_PER_UNIT
        terms = Terms(
            tuple([Tier(above, rates_of({**amounts, **own}), own) for above, own in tiers]),
            units or {},
            multipliers or {},
            scale,
        )
    return Price(
        provider=provider,
        model=model,
        version=version,
        effective_from=effective_from,
        rates=rates,
        variant=variant,
        aliases=aliases,
        plain=terms is None and rates.plain,
        terms=terms,
    )


ESTIMATE_PICO_PER_TOKEN: Final = 10**6
"""1 USD per million tokens: what a call without a price costs."""
ESTIMATE: Final = price(
    "", "", dict.fromkeys(("input_token", "output_token"), ESTIMATE_PICO_PER_TOKEN), version=0
)
NO_CHARGE: Final = price("", "", dict.fromkeys(("input_token", "output_token"), 0), version=0)
"""What a call without a price costs if its provider says that it costs nothing."""

AMOUNT_NAMES: Final = tuple([own.price for own in (*DIMENSIONS, *TOKEN_PARTS)])
"""All amounts of a row but those of units."""
