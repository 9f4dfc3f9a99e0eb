"""Prices of a list as amounts that a row of the catalogue can have, exactly.

A list that was written by a program that counts in floats has prices such as
2.0000000000000002e-07. Such a tail is cut off, and what lies behind 12 decimals if it is less than
a hundred-thousandth; the price is reported as cleaned. A price that is finer than that is no
amount of ours, and is left out.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

from messages.units import PRICE_DECIMALS_MAX, parse_amount

DIGITS: Final = 12
"""Significant digits of a price; what lies behind them is the noise of a float."""
FACTOR_DECIMALS: Final = 4
_EXPONENT_MAX: Final = 20
FACTOR_MAX: Final = 1_000
_CLEAN: Final = Context(prec=DIGITS, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
_WIDE: Final = Context(prec=60, traps=[InvalidOperation])
# A price of a second that a list works out from a minute, an hour, or a million of something.
_BLOCKS: Final = (60, 3_600, 1_000, 1_000_000)
_BLOCK_DIGITS: Final = 6
# A quotient of so few digits is met that nearly by chance once in a million.
_NOISE: Final = Fraction(1, 10**11)
_ROUNDED: Final = Decimal("1e-5")

UnitPrice = Decimal | dict[str, Any]
"""USD per one, or {``usd``, ``per``} for so many."""


def price(number: object) -> tuple[Decimal, bool]:
    """The amount, and whether it is cleaner than the list has it.

    Raises:
        ValueError: no number, negative, over 1,000,000 USD, or finer than 12 decimals.
    """
    given = _sane(number)
    near = _near_enough(plain(_CLEAN.plus(given)))
    parse_amount(near, PRICE_DECIMALS_MAX)
    return near, near != given


def _near_enough(number: Decimal) -> Decimal:
    """To 12 decimals, if that is nearly the same: a quotient such as 8/7e-6 never ends."""
    near = round(number, PRICE_DECIMALS_MAX)
    if abs(near - number) > number * _ROUNDED:
        return number
    return plain(near)


def times(number: object, by: Decimal) -> Decimal:
    """A number of a list that is a price of more or less than one.

    Raises:
        ValueError: it is no number that a price can come of.
    """
    return _WIDE.multiply(_sane(number), by)


def unit_price(number: object) -> tuple[UnitPrice, bool]:
    """As `price`; what has no exact price per one may have one per minute, hour or more.

    Raises:
        ValueError: as `price`, and no price of a block gives it either.
    """
    sane = _sane(number)
    given = Fraction(sane)
    try:
        near, cleaned = price(sane)
    except ValueError:
        pass
    else:
        if not cleaned:
            return near, False
    for per in _BLOCKS:
        usd = plain(Context(prec=_BLOCK_DIGITS).multiply(sane, Decimal(per)))
        if abs(Fraction(usd) / per - given) <= given * _NOISE:
            parse_amount(usd, PRICE_DECIMALS_MAX)
            return block(usd, per), True
    return price(sane)


def block(usd: Decimal, per: int) -> UnitPrice:
    """The price of so many, as short as it is exact."""
    each = _WIDE.divide(usd, Decimal(per))
    try:
        if Fraction(each) * per == Fraction(usd):
            parse_amount(each, PRICE_DECIMALS_MAX)
            return plain(each)
    except ValueError:
        pass
    return {"usd": plain(usd), "per": per}


def factor(number: object) -> Decimal:
    """What multiplies the token part of a charge.

    Raises:
        ValueError: no number from 0 to 1,000 with at most 4 decimals.
    """
    near = plain(_CLEAN.plus(_sane(number)))
    if near > FACTOR_MAX or near != round(near, FACTOR_DECIMALS):
        raise ValueError(f"must be at most {FACTOR_MAX}, with {FACTOR_DECIMALS} decimals")
    return near


def _sane(number: object) -> Decimal:
    """A number whose exponent costs no time: `Fraction` of 1e-999999999 would."""
    if not isinstance(number, Decimal) or not number.is_finite():
        raise ValueError("must be a number")
    if not number:
        return Decimal(0)
    if number.is_signed():
        raise ValueError("must not be negative")
    if not -_EXPONENT_MAX <= number.adjusted() <= _EXPONENT_MAX:
        raise ValueError(f"must be from 1e-{_EXPONENT_MAX} to 1e{_EXPONENT_MAX}")
    return _WIDE.plus(number)


def plain(number: Decimal) -> Decimal:
    """The same number, always written the same way: without an exponent or trailing zeros."""
    if not number:
        return Decimal(0)
    short = number.normalize(_WIDE)
    exponent = short.as_tuple().exponent
    return short.quantize(Decimal(1), context=_WIDE) if _is_over_zero(exponent) else short


def _is_over_zero(exponent: object) -> bool:
    return isinstance(exponent, int) and exponent > 0
