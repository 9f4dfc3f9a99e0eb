"""What a call is charged by, worked out once for each price, so that a charge is a few sums.

What can have a price is the tables of `messages.dimensions`, whose rows nothing here names but
the two wholes: the tokens of the input and of the output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from messages.dimensions import COUNTED, DIMENSIONS, TOKEN_PARTS

INPUT: Final = 0
OUTPUT: Final = 1
"""Where the tokens of the input and of the output are in `Counts`."""

TOKENS: Final = (*COUNTED, *TOKEN_PARTS)
"""All that a call may have a number of, as `Said` has it: its counts, then its token parts."""
Said = tuple[int | None, ...]
"""What a call says of each of `TOKENS`, or of the first of them."""
PLACES: Final = {counted.field: place for place, counted in enumerate(TOKENS)}
PARTS_OF: Final[dict[int, tuple[int, ...]]] = {
    PLACES[whole]: tuple([PLACES[part.field] for part in TOKENS if part.part_of == whole])
    for whole in dict.fromkeys(part.part_of for part in TOKENS)
    if whole
}
"""The parts of each whole, by their places in `Said`."""

NO_PARTS: Final[Said] = (None,) * len(TOKEN_PARTS)
"""What most calls and most prices have of token parts."""
_PART_PRICES: Final = frozenset([part.price for part in TOKEN_PARTS])
_WHOLES: Final = tuple([PLACES.get(counted.part_of, -1) for counted in TOKENS])
_UNITS: Final = tuple(
    [
        (place, unit.absent)
        for place, unit in enumerate(COUNTED)
        if not unit.part_of and not unit.is_whole
    ]
)
_PER_CALL: Final = tuple([own.price for own in DIMENSIONS if not own.field])

Amounts = Mapping[str, int | None]
"""Pico-USD by the names of a stored price; one that is absent or None is not priced."""
Weights = tuple[tuple[int, int], ...]
"""Places in `Said`, and pico-USD of one of what is there."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a call is charged by.

    Attributes:
        amounts: pico-USD of one of each dimension, in the order of `DIMENSIONS`; None: not priced.
        parts: likewise of each of `TOKEN_PARTS`.
        per_input: pico-USD of a token of the input, ``per_output`` of one of the output.
        input_parts: what the parts of the input cost beyond what they cost as input; may be
            below 0. ``output_parts`` likewise.
        input_more: the same of token parts, which few calls have; ``output_more`` likewise.
        units: what else is counted and priced; the third number is what a call pays that does
            not say it.
        unpriced: what else is counted and not priced.
        open: the wholes without a price, each with its outermost parts that have one.
        per_call: pico-USD of a call as such.
    """

    amounts: tuple[int | None, ...]
    parts: tuple[int | None, ...]
    per_input: int
    per_output: int
    input_parts: Weights
    output_parts: Weights
    input_more: Weights
    output_more: Weights
    units: tuple[tuple[int, int, int], ...]
    unpriced: tuple[int, ...]
    open: tuple[tuple[int, tuple[int, ...]], ...]
    per_call: int

    @property
    def plain(self) -> bool:
        """Whether all tokens have a price, and nothing is charged that a call does not say."""
        return not self.open and not self.units

    @property
    def dearer(self) -> int:
        """Pico-USD of a token of the input or of the output, whichever costs more."""
        return max(self.per_input, self.per_output)


def rates_of(amounts: Amounts) -> Rates:
    """The rates of a price; a part without an amount costs what its whole costs."""
    # Most rows have no price of a token part: half the work is spared.
    tokens = COUNTED if _PART_PRICES.isdisjoint(amounts) else TOKENS
    each: list[int] = []
    for dimension, whole in zip(tokens, _WHOLES, strict=False):
        amount = amounts.get(dimension.price)
        each.append((each[whole] if whole >= 0 else 0) if amount is None else amount)
    inputs, outputs = _weights(each, INPUT), _weights(each, OUTPUT)
    units = [(place, each[place], each[place] * absent) for place, absent in _UNITS if each[place]]
    return Rates(
        amounts=tuple([amounts.get(dimension.price) for dimension in DIMENSIONS]),
        parts=NO_PARTS if tokens is COUNTED else tuple([amounts.get(x.price) for x in TOKEN_PARTS]),
        per_input=each[INPUT],
        per_output=each[OUTPUT],
        input_parts=tuple([one for one in inputs if one[0] < len(COUNTED)]),
        output_parts=tuple([one for one in outputs if one[0] < len(COUNTED)]),
        input_more=tuple([one for one in inputs if one[0] >= len(COUNTED)]),
        output_more=tuple([one for one in outputs if one[0] >= len(COUNTED)]),
        units=tuple(units),
        unpriced=tuple([at for at, _ in _UNITS if amounts.get(COUNTED[at].price) is None]),
        open=tuple(
            [
                (whole, _priced_parts(amounts, whole))
                for whole in (INPUT, OUTPUT)
                if amounts.get(TOKENS[whole].price) is None
            ]
        ),
        per_call=sum([amounts.get(name) or 0 for name in _PER_CALL]),
    )


def _weights(each: Sequence[int], whole: int) -> Weights:
    """What the parts of a whole, and theirs, cost beyond what they are a part of."""
    found: list[tuple[int, int]] = []
    for part in PARTS_OF.get(whole, ()):
        if part >= len(each):
            break
        if each[part] != each[whole]:
            found.append((part, each[part] - each[whole]))
        found += _weights(each, part)
    return tuple(found)


def _priced_parts(amounts: Amounts, whole: int) -> tuple[int, ...]:
    """The outermost parts of a whole that have a price of their own."""
    found: list[int] = []
    for part in PARTS_OF.get(whole, ()):
        priced = amounts.get(TOKENS[part].price) is not None
        found += [part] if priced else _priced_parts(amounts, part)
    return tuple(found)
