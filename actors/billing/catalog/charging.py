"""What a call costs: prices in pico-USD per unit, charges in nano-USD, rounded once.

The formula is the contract's, section 3, ``track``: "Charge"; and 1.1, section 4: "Order". Nearly
all calls are charged by `charge`; `charge_in_full` is the whole rule, and gives the same for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from actors.billing.catalog.prices import FACTOR_ONE, Price
from actors.billing.catalog.rates import (
    INPUT,
    NO_PARTS,
    OUTPUT,
    PARTS_OF,
    TOKENS,
    Rates,
    Said,
    Weights,
)
from messages.dimensions import COUNT_FIELDS, COUNTED, PART_NAMES, Counts
from messages.errors import InvalidRequest
from messages.quantities import NANO_PER_UNIT
from messages.units import PICO_PER_NANO, round_half_even

BEHIND: Final = slice(2, None)
"""What is behind the tokens of the input and of the output in `Counts`."""
NOTHING: Final[Counts] = (None,) * (len(COUNTED) - 2)
"""What most calls say of that."""
_UNITS_FROM: Final = next(at for at, one in enumerate(COUNTED) if one.absent)
UNITS: Final = slice(_UNITS_FROM, len(COUNTED))
NO_UNITS: Final[Counts] = (None,) * (len(COUNTED) - _UNITS_FROM)
"""Where the counts of units are, and what most calls say of what is there."""
_COUNTED_UNITS: Final = tuple([at for at, one in enumerate(COUNTED) if one.absent])
"""Where exactly: tokens that came later are behind them."""
TOKENS_MAX: Final = 10**9
"""Of a call, of each kind."""
_CHECKED: Final = tuple([(whole, parts) for whole, parts in PARTS_OF.items()])

Charge = tuple[int, int, int]
"""A priced call in nano-USD: in all, and its input and output tokens, which are for display."""


class Used(NamedTuple):
    """What a call used, in full.

    Attributes:
        said: its counts and, behind them, its token parts; None: it does not say.
        units: what else it used, in nano-units, by the id of the unit.
        factors: the names of the multipliers of its charge.
        region: where its model was served, by the name of the model.
        failed: whether its status code says that it failed.
    """

    said: Said
    units: Mapping[str, int] = {}
    factors: Sequence[str] = ()
    region: str | None = None
    failed: bool = False


class Ahead(NamedTuple):
    """What calls that are not made yet may use beside what is said of each.

    Attributes:
        calls: how many they are.
        each: further tokens of each, of which it is not said what they are: they cost what the
            dearer ones cost.
        shared: such tokens of all of them together.
        size: the tokens that a tier goes by, if that is more than those of the input.
    """

    calls: int = 1
    each: int = 0
    shared: int = 0
    size: int = 0


MADE: Final = Ahead()
"""For a call that was made."""


class Charged(NamedTuple):
    """A call charged in full.

    Attributes:
        charge: see `Charge`.
        tier: the bound of the tier that priced it.
        unpriced: the names of what it used and its price does not have.
    """

    charge: Charge
    tier: int | None
    unpriced: tuple[str, ...]


def check_parts(said: Said) -> None:
    """Refuse a call with parts larger than their whole.

    Raises:
        InvalidRequest: naming the part.
    """
    known = len(said)
    for whole, parts in _CHECKED:
        left = said[whole] or 0
        for part in parts:
            if part < known:
                left -= said[part] or 0
                if left < 0:
                    raise _over(whole, parts[: parts.index(part) + 1])


def _over(whole: int, parts: Sequence[int]) -> InvalidRequest:
    *others, last = [TOKENS[part].field for part in parts]
    named = f"{', '.join(others)} and {last} are" if others else f"{last} is"
    field = last if last in COUNT_FIELDS else "token_parts"
    return InvalidRequest(f"{named} over {TOKENS[whole].field}", field)


def with_parts(counts: Counts, parts: Mapping[str, int] | None) -> Said:
    """The counts of a call with its token parts behind them."""
    return counts + (tuple([parts.get(name) for name in PART_NAMES]) if parts else NO_PARTS)


def counted_inside(counts: Counts) -> Counts:
    """Counts of a provider that counts what the cache had beside the input, as all others count.

    Raises:
        InvalidRequest: the input is larger than a call may have then.
    """
    tokens_input, tokens_output, cache_read, cache_write, *others = counts
    total = (tokens_input or 0) + (cache_read or 0) + (cache_write or 0)
    if total > TOKENS_MAX:
        raise InvalidRequest("tokens_input and the cache counts are over 10^9", "tokens_input")
    return (total, tokens_output, cache_read, cache_write, *others)


def charge(price: Price, said: Counts) -> Charge:
    """Price a call exactly that says nothing but its tokens, by a plain price.

    Parts are priced once: what they cost beyond their whole is added to it.
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
    total += part_in + part_out
    if total % PICO_PER_NANO or part_in % PICO_PER_NANO or part_out % PICO_PER_NANO:
        return (
            round_half_even(total, PICO_PER_NANO),
            round_half_even(part_in, PICO_PER_NANO),
            round_half_even(part_out, PICO_PER_NANO),
        )
    # Nearly always there is nothing to round.
    return total // PICO_PER_NANO, part_in // PICO_PER_NANO, part_out // PICO_PER_NANO


def charge_in_full(price: Price, used: Used, ahead: Ahead = MADE) -> Charged:
    """Price a call exactly, and say what of it has no price.

    Args:
        price: its row.
        used: what it used; the parts are within their wholes.
        ahead: what calls that are not made yet may use beside that.
    """
    said, calls = used.said, ahead.calls
    size = max(said[INPUT] or 0, ahead.size)
    tier = price.tier_of(size)
    rates = price.rates if tier is None else tier.rates
    factor, scale, unknown = _factor(price, used)
    part_in = _tokens(said, INPUT, rates.per_input, rates.input_parts, rates.input_more)
    part_out = _tokens(said, OUTPUT, rates.per_output, rates.output_parts, rates.output_more)
    part_in, part_out = calls * part_in * factor, calls * part_out * factor
    more = (calls * ahead.each + ahead.shared) * rates.dearer * factor
    unit_scale = 1 if price.terms is None else price.terms.unit_scale
    total = (part_in + part_out + more) * unit_scale
    total += calls * scale * _beside(price, rates, used)
    nano = scale * PICO_PER_NANO
    return Charged(
        (
            round_half_even(total, nano * unit_scale),
            round_half_even(part_in, nano),
            round_half_even(part_out, nano),
        ),
        None if tier is None else tier.above,
        (*_unpriced(price, rates, used), *unknown),
    )


def estimate(price: Price, tokens: int, calls: int) -> int:
    """What calls not made yet may cost, in nano-USD: the dearer token price for all tokens."""
    rates = price.rates
    return round_half_even(tokens * rates.dearer + calls * rates.per_call, PICO_PER_NANO)


def _tokens(said: Said, whole: int, each: int, parts: Weights, more: Weights) -> int:
    total = (said[whole] or 0) * each
    for place, beyond in parts:
        total += (said[place] or 0) * beyond
    for place, beyond in more:
        total += (said[place] or 0) * beyond
    return total


def _factor(price: Price, used: Used) -> tuple[int, int, list[str]]:
    """The product of a call's multipliers, its denominator, and those that the price lacks."""
    factor = scale = 1
    unknown: list[str] = []
    known = {} if price.terms is None else price.terms.multipliers
    for name in sorted({*used.factors}):
        if name in known:
            factor, scale = factor * known[name], scale * FACTOR_ONE
        else:
            unknown.append(name)
    region = used.region
    if region is not None and region in known and region not in used.factors:
        factor, scale = factor * known[region], scale * FACTOR_ONE
    return factor, scale, unknown


def _beside(price: Price, rates: Rates, used: Used) -> int:
    """What a call costs beside its tokens, in pico-USD by the scale of the price's units."""
    total = rates.per_call
    assumed = _assumed(used)
    for place, each, unsaid in rates.units:
        count = used.said[place]
        total += count * each if count is not None else unsaid if assumed else 0
    if price.terms is None:
        return total
    scale = price.terms.unit_scale
    total *= scale
    for name, amount in used.units.items():
        unit = price.terms.units.get(name)
        if unit is not None:  # so many nano-units, at so much for `per` whole ones
            total += amount * unit.pico * (scale // (unit.per * NANO_PER_UNIT))
    return total


def _assumed(used: Used) -> bool:
    """Whether a unit that the price has and the call does not say is one.

    It is not if the call failed, or says another of the counts or a unit.
    """
    said = used.said
    if used.failed or any(said[place] is not None for place in _COUNTED_UNITS):
        return False
    return not any(used.units.values())


def _unpriced(price: Price, rates: Rates, used: Used) -> list[str]:
    """The names of what a call used and its price does not have."""
    said = used.said
    found: list[str] = []
    for whole, priced in rates.open:
        left = said[whole] or 0
        for part in priced:
            left -= said[part] or 0
        if left > 0:
            found.append(TOKENS[whole].field)
    found += [TOKENS[place].field for place in rates.unpriced if said[place]]
    known = {} if price.terms is None else price.terms.units
    found += [name for name in sorted(used.units) if used.units[name] and name not in known]
    return found
