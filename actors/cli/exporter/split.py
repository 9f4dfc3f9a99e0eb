"""What a charge is made of: each unit with its quantity, unit price and part of the charge.

A charge is rounded once, as a whole (contract, section 3, "Charge"). So that the parts come to it
exactly, each is cut to a nano-USD and what is missing goes to those that lost most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from actors.billing.catalog.prices import ESTIMATE
from actors.billing.usage.detail import FAILED_FROM
from messages.dimensions import DIMENSIONS, TOKEN_PRICES
from messages.prices import (
    PriceEntry,
)
from messages.reports import LogEntry
from messages.units import (
    MONEY_DECIMALS_MAX,
    PICO_PER_NANO,
    PRICE_DECIMALS_MAX,
    parse_amount,
    round_half_even,
)

CALL: Final = "calls"
Amounts = Mapping[str, int | None]
"""Pico-USD by the names of `DIMENSIONS`; None: not priced."""
ESTIMATED: Final[Amounts] = {
    dimension.price: amount
    for dimension, amount in zip(DIMENSIONS, ESTIMATE.rates.amounts, strict=True)
}


class Part(NamedTuple):
    """A unit of a call: how many, pico-USD of one (None: not priced), nano-USD in the charge."""

    unit: str
    quantity: int
    pico: int | None
    nano: int


def amounts_of(price: PriceEntry, tier: int | None = None) -> Amounts:
    """The unit prices of a row of the price list, of the tier with a bound if one is given."""
    found = {d.price: getattr(price, d.cost_field) for d in DIMENSIONS}
    for one in price.tiers:
        if one.above_input_tokens == tier:
            own = {d.price: getattr(one, d.cost_field) for d in TOKEN_PRICES}
            found |= {name: usd for name, usd in own.items() if usd is not None}
    return {
        name: None if usd is None else parse_amount(usd, PRICE_DECIMALS_MAX)
        for name, usd in found.items()
    }


def nano_of(entry: LogEntry) -> int:
    """The charge of a call in nano-USD."""
    return parse_amount(entry.cost, MONEY_DECIMALS_MAX)


def whole(entry: LogEntry) -> list[Part]:
    """A charge that is not made of unit prices: one part."""
    return [Part(CALL, 1, None, nano_of(entry))]


def split(entry: LogEntry, amounts: Amounts) -> list[Part] | None:
    """The parts of a charge by these prices; None if it is not what they come to."""
    counted = [(unit, number, pico) for unit, number, pico in _counted(entry, amounts) if number]
    exact = [number * (pico or 0) for _, number, pico in counted]
    total = nano_of(entry)
    if round_half_even(sum(exact), PICO_PER_NANO) != total:
        return None
    return [
        Part(unit, number, pico, nano)
        for (unit, number, pico), nano in zip(counted, _shared(exact, total), strict=True)
    ]


def _counted(entry: LogEntry, amounts: Amounts) -> list[tuple[str, int, int | None]]:
    """Units of a call, of wholes what is no part of theirs, with pico-USD of one."""
    counts: dict[str, int] = {}
    prices: dict[str, int | None] = {}
    silent = entry.status_code < FAILED_FROM and all(
        getattr(entry, dimension.field) is None
        for dimension in DIMENSIONS
        if dimension.field and dimension.absent
    )
    for dimension in DIMENSIONS:
        unit, pico = dimension.field or CALL, amounts.get(dimension.price)
        said: Any = getattr(entry, dimension.field) if dimension.field else None
        number = said or 0
        if said is None and pico and (silent or not dimension.field):
            number = dimension.absent
        if dimension.part_of:
            counts[dimension.part_of] -= number
            pico = prices[dimension.part_of] if pico is None else pico
        counts[unit], prices[unit] = number, pico
    return [(unit, number, prices[unit]) for unit, number in counts.items()]


def _shared(exact: Sequence[int], total: int) -> list[int]:
    """Pico-USD as nano-USD that come to ``total``, which their sum is rounded."""
    found = [pico // PICO_PER_NANO for pico in exact]
    by_loss = sorted(range(len(exact)), key=lambda i: exact[i] % PICO_PER_NANO, reverse=True)
    for place in by_loss[: total - sum(found)]:
        found[place] += 1
    return found
