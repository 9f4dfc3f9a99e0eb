"""Units of the contract: money, instants and user ids.

Inside meterd money is an integer count of nano-USD (1e-9 USD) and a unit price an
integer count of pico-USD (1e-12 USD); an instant is an integer count of microseconds
since 1970-01-01T00:00:00Z. Decimals, floats and datetimes exist at the edges only.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation
from typing import Final

NANO_PER_USD: Final = 10**9
PICO_PER_NANO: Final = 1000
USD_MAX: Final = 1_000_000
MONEY_DECIMALS_MAX: Final = 9
PRICE_DECIMALS_MAX: Final = 12
USER_ID_BYTES_MAX: Final = 128
MICROS_PER_SECOND: Final = 1_000_000
MICROS_PER_DAY: Final = 86_400 * MICROS_PER_SECOND

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# Wide enough for any sum of charges; Inexact is trapped so that nothing rounds in silence.
_EXACT: Final = Context(prec=60, Emax=999_999, Emin=-999_999, traps=[InvalidOperation, Inexact])
# A bounded amount has 16 digits at most, whatever its text has.
_NEAREST: Final = Context(prec=20, Emax=999_999, Emin=-999_999, traps=[InvalidOperation])

_NOTHING: Final = Decimal(0)
_TO_USD: Final = Decimal(-9)


def round_half_even(numerator: int, denominator: int) -> int:
    """Divide exactly and round once, ties to the even neighbour: the one rounding of meterd.

    Args:
        numerator: any non-negative integer.
        denominator: a positive integer.
    """
    quotient, rest = divmod(numerator, denominator)
    twice = rest * 2
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


def parse_amount(number: Decimal, decimals_max: int) -> int:
    """Turn a JSON number into an integer count of 10**-decimals_max USD, exactly.

    The bounds are checked on the exponent before anything is converted, so that
    ``1e300000`` costs no time.

    Raises:
        ValueError: negative, above 1,000,000 USD, or finer than ``decimals_max`` decimals.
    """
    if not number.is_finite():
        raise ValueError("must be a number")
    if not number:
        return 0
    if number.is_signed():
        raise ValueError("must not be negative")
    if number.adjusted() > 6:
        raise ValueError(f"must not be over {USD_MAX} USD")
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):  # NaN and Infinity carry a letter; refused above
        raise TypeError("must be a number")
    if exponent < -decimals_max and any(digits[decimals_max + exponent :]):
        # Trailing zeros add no precision: 1.0000000000 has none.
        raise ValueError(f"must have at most {decimals_max} decimals")
    amount = int(number.scaleb(decimals_max, Context(prec=len(digits) + 1, Emax=10**6)))
    if amount > USD_MAX * 10**decimals_max:
        raise ValueError(f"must not be over {USD_MAX} USD")
    return amount


def round_amount(number: Decimal, decimals_max: int) -> tuple[int, bool]:
    """As `parse_amount`, but what is finer is rounded half to even; and whether it was.

    Raises:
        ValueError: negative, or above 1,000,000 USD.
    """
    if not number.is_finite() or not 0 < number <= USD_MAX:
        return parse_amount(number, decimals_max), False
    near = number.quantize(Decimal((0, (1,), -decimals_max)), ROUND_HALF_EVEN, _NEAREST)
    return parse_amount(near, decimals_max), near != number


def usd(nano: int) -> Decimal:
    """Nano-USD as an exact decimal number of USD, as replies carry it."""
    return _EXACT.scaleb(nano, _TO_USD) if nano else _NOTHING


def usd_text(nano: int) -> str:
    """Nano-USD as an exact JSON number of USD; ``nano`` is not negative."""
    if nano < NANO_PER_USD:  # nearly always; a digit in front is quicker than a format
        return "0." + str(nano + NANO_PER_USD)[1:]
    return f"{nano // NANO_PER_USD}.{nano % NANO_PER_USD:09d}"


def to_micros(moment: datetime) -> int:
    """An aware datetime as microseconds since the epoch."""
    return (moment - EPOCH) // _MICROSECOND


def to_datetime(micros: int) -> datetime:
    """Microseconds since the epoch as a UTC datetime."""
    return EPOCH + timedelta(microseconds=micros)


def to_day(text: str) -> date:
    """A day written as ``2026-01-31``.

    Raises:
        ValueError: it is not a day.
    """
    day = date.fromisoformat(text)
    if day.isoformat() != text:  # the week and the day in it, say
        raise ValueError(f"{text!r} is no day")
    return day


def check_user_id(user: str) -> str:
    """Return ``user`` if it is a user id: 1 to 128 bytes of UTF-8, no control characters.

    Raises:
        ValueError: it is not.
    """
    size = len(user.encode())  # UnicodeEncodeError (a ValueError) for lone surrogates
    if not 1 <= size <= USER_ID_BYTES_MAX:
        raise ValueError(f"a user id has 1 to {USER_ID_BYTES_MAX} bytes, this one has {size}")
    if not user.isprintable() and any(unicodedata.category(c) == "Cc" for c in user):
        raise ValueError("a user id has no control characters")
    return user
