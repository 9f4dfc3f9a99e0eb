"""Amounts of units: exact integers of nano-units inside, decimals at the edges.

A nano-unit is 10^-9 of one. No unit has more than 9 decimals (contract 1.1, section 2), so every
amount is a whole number of them, whatever the scale of its unit; neither the state nor a replay
needs to know that.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal, InvalidOperation
from typing import Final

from msgspec import Raw

from .errors import InvalidRequest

NANO_PER_UNIT: Final = 10**9
SCALE_MAX: Final = 9
"""Decimals of a unit."""
PARTS_MAX: Final = 10**15
"""The most of its smallest parts that a unit may allow a call."""
DIGITS: Final = 64
_EXACT: Final = Context(prec=DIGITS + 1, Emax=10**6)
"""Loses none of so many digits."""


def nano_units(number: Decimal) -> int:
    """A JSON number as nano-units, exactly; trailing zeros add no decimals.

    The bounds are checked on the exponent before anything is converted, so that ``1e300000``
    costs no time.

    Raises:
        ValueError: negative, above 10^15, or finer than 9 decimals.
    """
    if not number:
        return 0
    if number.is_signed():
        raise ValueError("must not be negative")
    if number.adjusted() > 15:
        raise ValueError(f"must not be over {PARTS_MAX}")
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):  # NaN and Infinity carry a letter; no JSON number is one
        raise TypeError("must be a number")
    if exponent < -SCALE_MAX and any(digits[SCALE_MAX + exponent :]):
        raise ValueError(f"must have at most {SCALE_MAX} decimals")
    if len(digits) <= DIGITS:  # which are all that anybody means; a context costs a microsecond
        amount = int(number.scaleb(SCALE_MAX, _EXACT))
    else:
        amount = int(number.scaleb(SCALE_MAX, Context(prec=len(digits) + 1, Emax=10**6)))
    if amount > PARTS_MAX * NANO_PER_UNIT:
        raise ValueError(f"must not be over {PARTS_MAX}")
    return amount


def quantity(nano: int) -> int | Decimal:
    """Nano-units as an exact number, as replies carry it: an integer if it is one.

    ``nano`` is not negative. A decimal has no trailing zeros.
    """
    whole, rest = divmod(nano, NANO_PER_UNIT)
    if not rest:
        return whole
    return Decimal(f"{whole}.{rest:09d}".rstrip("0"))


def quantities(amounts: dict[str, int] | None) -> dict[str, int | Decimal]:
    """Amounts by unit as replies carry them; none is an empty object."""
    return {name: quantity(nano) for name, nano in amounts.items()} if amounts else {}


def quantities_of(said: Mapping[str, Raw] | None, field: str) -> dict[str, int]:
    """The nano-units of each unit as they were sent, by name, without those that are 0.

    It looks at the numbers alone: which units there are is not known here.

    Raises:
        InvalidRequest: not a number, negative, too large or too fine for any unit.
    """
    found: dict[str, int] = {}
    for name, raw in sorted((said or {}).items()):
        text = number_text(raw, field)
        if text is None:
            raise InvalidRequest(f"{field}: {name} must be a number", field)
        try:
            amount = nano_units(Decimal(text))
        except InvalidOperation:  # an exponent that no decimal can hold
            raise InvalidRequest(f"{field}: {name} is out of range", field) from None
        except ValueError as error:
            raise InvalidRequest(f"{field}: {name} {error}", field) from None
        if amount:
            found[name] = amount
    return found


def number_text(raw: Raw, field: str) -> str | None:
    """The text of a JSON number, None for null.

    Raises:
        InvalidRequest: it is something else.
    """
    text = bytes(raw)
    if text == b"null":
        return None
    if text[:1] not in b"-0123456789" or not text:
        raise InvalidRequest(f"Expected a number - at `$.{field}`", field)
    return text.decode("ascii")
