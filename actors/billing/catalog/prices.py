"""What a call costs: prices in pico-USD per unit, charges in nano-USD, rounded once.

The formula is the contract's, section 3, ``track``: "Price" and "Charge". What can have a price is
the table of `messages.dimensions`, whose rows nothing here names but the two wholes: the tokens of
the input and of the output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from messages.dimensions import COUNT_FIELDS, COUNTED, DIMENSIONS, Counts
from messages.errors import InvalidRequest
from messages.units import PICO_PER_NANO, round_half_even

INPUT: Final = 0
OUTPUT: Final = 1
"""Where the tokens of the input and of the output are in `Counts`."""
BEHIND: Final = slice(2, None)
"""What is behind them: parts of them, and units."""
NOTHING: Final[Counts] = (None,) * (len(COUNTED) - 2)
"""What most calls say of that."""

_PLACES: Final = {dimension.field: place for place, dimension in enumerate(COUNTED)}
_PARTS: Final[dict[int, tuple[int, ...]]] = {
    _PLACES[whole]: tuple([_PLACES[part.field] for part in COUNTED if part.part_of == whole])
    for whole in [part.part_of for part in COUNTED]
    if whole
}
"""The parts of each whole, by their places in `Counts`."""
_CHECKED: Final = tuple(_PARTS.items())

Amounts = Mapping[str, int | None]
"""Pico-USD by the names of a stored price; one that is absent or None is not priced."""
Weights = tuple[tuple[int, int], ...]
"""Places in `Counts`, and pico-USD of one of what is there."""
Charge = tuple[int, int, int]
"""A priced call in nano-USD: in all, and its input and output tokens, which are for display."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a call is charged by: worked out once for each price, so that a charge is a few sums.

    Attributes:
        amounts: pico-USD of one of each dimension, in the order of `DIMENSIONS`; None: not priced.
        per_input: pico-USD of a token of the input, ``per_output`` of one of the output.
        input_parts: what the parts of the input cost beyond what they cost as input; may be
            below 0. ``output_parts`` likewise.
        units: what else is counted; the third number is what a call pays that does not say it.
        per_call: pico-USD of a call as such.
    """

    amounts: tuple[int | None, ...]
    per_input: int
    per_output: int
    input_parts: Weights
    output_parts: Weights
    units: tuple[tuple[int, int, int], ...]
    per_call: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One row of the price list, valid from a moment on."""

    provider: str
    model: str
    version: int
    effective_from: int
    rates: Rates


def rates_of(amounts: Amounts) -> Rates:
    """The rates of a price; a part without an amount costs what its whole costs."""
    each: list[int] = []
    for dimension in COUNTED:
        amount = amounts.get(dimension.price)
        if amount is None:
            amount = each[_PLACES[dimension.part_of]] if dimension.part_of else 0
        each.append(amount)
    units = [
        (place, amount, amount * unit.absent)
        for place, (unit, amount) in enumerate(zip(COUNTED, each, strict=True))
        if amount and not unit.part_of and not unit.is_whole
    ]
    return Rates(
        amounts=tuple([amounts.get(dimension.price) for dimension in DIMENSIONS]),
        per_input=each[INPUT],
        per_output=each[OUTPUT],
        input_parts=_weights(each, INPUT),
        output_parts=_weights(each, OUTPUT),
        units=tuple(units),
        per_call=sum([amounts.get(own.price) or 0 for own in DIMENSIONS if not own.field]),
    )


def _weights(each: Sequence[int], whole: int) -> Weights:
    """What the parts of a whole, and theirs, cost beyond what they are a part of."""
    found: list[tuple[int, int]] = []
    for part in _PARTS.get(whole, ()):
        if each[part] != each[whole]:
            found.append((part, each[part] - each[whole]))
        found += _weights(each, part)
    return tuple(found)


ESTIMATE_PICO_PER_TOKEN: Final = 10**6
"""1 USD per million tokens: what a call without a price costs."""

ESTIMATE: Final = Price(
    provider="",
    model="",
    version=0,
    effective_from=0,
    rates=rates_of(dict.fromkeys(("input_token", "output_token"), ESTIMATE_PICO_PER_TOKEN)),
)


def check_parts(said: Counts) -> None:
    """Refuse a call with parts larger than their whole.

    Raises:
        InvalidRequest: naming the part.
    """
    for whole, parts in _CHECKED:
        left = said[whole] or 0
        for part in parts:
            left -= said[part] or 0
            if left < 0:
                raise _over(whole, parts[: parts.index(part) + 1])


def _over(whole: int, parts: Sequence[int]) -> InvalidRequest:
    *others, last = [COUNT_FIELDS[part] for part in parts]
    named = f"{', '.join(others)} and {last} are" if others else f"{last} is"
    return InvalidRequest(f"{named} over {COUNT_FIELDS[whole]}", last)


def charge(price: Price, said: Counts) -> Charge:
    """Price a call exactly.

    Parts are priced once: what they cost beyond their whole is added to it. A unit that the row
    prices and of which the call says nothing is counted as one.
    """
    rates = price.rates
    part_in = (said[INPUT] or 0) * rates.per_input
    part_out = (said[OUTPUT] or 0) * rates.per_output
    total = rates.per_call
    # Most prices have neither; to ask is quicker than to go through nothing.
    if rates.input_parts or rates.output_parts:
        for place, more in rates.input_parts:
            part_in += (said[place] or 0) * more
        for place, more in rates.output_parts:
            part_out += (said[place] or 0) * more
    if rates.units:
        for place, each, unsaid in rates.units:
            count = said[place]
            total += unsaid if count is None else count * each
    total += part_in + part_out
    if total % PICO_PER_NANO or part_in % PICO_PER_NANO or part_out % PICO_PER_NANO:
        return (
            round_half_even(total, PICO_PER_NANO),
            round_half_even(part_in, PICO_PER_NANO),
            round_half_even(part_out, PICO_PER_NANO),
        )
    # Nearly always there is nothing to round.
    return total // PICO_PER_NANO, part_in // PICO_PER_NANO, part_out // PICO_PER_NANO


def estimate(price: Price, tokens: int, calls: int) -> int:
    """What calls not made yet may cost, in nano-USD: the dearer token price for all tokens."""
    rates = price.rates
    per_token = max(rates.per_input, rates.per_output)
    return round_half_even(tokens * per_token + calls * rates.per_call, PICO_PER_NANO)
