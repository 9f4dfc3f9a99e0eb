from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from messages.codec import encode_reply
from messages.units import (
    MONEY_DECIMALS_MAX,
    PRICE_DECIMALS_MAX,
    check_user_id,
    parse_amount,
    round_half_even,
    to_datetime,
    to_micros,
    usd,
)

ZEROS = "0" * 60_000


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0", 0),
        ("-0", 0),
        ("-0.0", 0),
        ("0e300000", 0),
        ("0e-300000", 0),
        ("0.000000001", 1),
        ("1e-9", 1),
        ("10E-10", 1),
        ("1000000000000e-21", 1),
        ("0.5", 500_000_000),
        ("1", 10**9),
        ("1E+2", 10**11),
        ("999999.999999999", 10**15 - 1),
        ("1000000", 10**15),
        ("1e6", 10**15),
        ("1000000000000000e-9", 10**15),
        ("1.0000000000", 10**9),
        (f"1.{ZEROS}", 10**9),
        (f"0.000000001{ZEROS}", 1),
    ],
    ids=lambda value: str(value)[:24],
)
def test_money_within_its_bounds_is_exact_however_it_is_written(text: str, nano: int) -> None:
    assert parse_amount(Decimal(text), MONEY_DECIMALS_MAX) == nano


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("-1e-9", "negative"),
        ("-1", "negative"),
        ("-1e300000", "negative"),
        ("1000000.000000001", "over"),
        ("1000001", "over"),
        ("1e7", "over"),
        ("9999999", "over"),
        (f"1{ZEROS}", "over"),
        ("1e300000", "over"),
        ("1e-10", "decimals"),
        ("1.0000000001", "decimals"),
        ("1e-300000", "decimals"),
        (f"0.{ZEROS}1", "decimals"),
        (f"1.{ZEROS}1", "decimals"),
        ("NaN", "number"),
        ("sNaN", "number"),
        ("Infinity", "number"),
        ("-Infinity", "number"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_money_that_is_negative_too_large_or_too_fine_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_amount(Decimal(text), MONEY_DECIMALS_MAX)


def test_a_unit_price_has_three_decimals_more_than_money() -> None:
    assert parse_amount(Decimal("0.000000000001"), PRICE_DECIMALS_MAX) == 1
    assert parse_amount(Decimal("1e6"), PRICE_DECIMALS_MAX) == 10**18
    with pytest.raises(ValueError, match="at most 12 decimals"):
        parse_amount(Decimal("1e-13"), PRICE_DECIMALS_MAX)
    with pytest.raises(ValueError, match="over 1000000"):
        parse_amount(Decimal("1000000.000000000001"), PRICE_DECIMALS_MAX)


class Unconverted(Decimal):
    """A number that nobody may shift or turn into an integer."""

    def __int__(self) -> NoReturn:
        raise AssertionError("was converted before its bounds were checked")

    def scaleb(self, other: Decimal | int, context: Context | None = None) -> NoReturn:
        raise AssertionError("was shifted before its bounds were checked")


@pytest.mark.parametrize("text", ["1e300000", "1e999999", "1e-300000", "-1e300000", f"1{ZEROS}"])
def test_a_number_far_out_of_bounds_is_refused_without_being_converted(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_amount(Unconverted(text), MONEY_DECIMALS_MAX)


@given(st.integers(0, 10**22), st.integers(-30, 12), st.sampled_from([9, 12]))
@example(10**15, -9, 9)
@example(10**15 + 1, -9, 9)
def test_an_amount_is_taken_exactly_or_refused(digits: int, exponent: int, decimals: int) -> None:
    exact = Fraction(digits) * Fraction(10) ** exponent
    number = Decimal(f"{digits}e{exponent}")
    if exact <= 1_000_000 and (exact * 10**decimals).denominator == 1:
        assert parse_amount(number, decimals) == exact * 10**decimals
    else:
        with pytest.raises(ValueError, match="must"):
            parse_amount(number, decimals)


@given(st.integers(0, 10**40), st.integers(1, 10**12))
def test_rounding_goes_to_the_nearest_and_ties_to_even(numerator: int, denominator: int) -> None:
    assert round_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(st.integers(0, 10**30))
def test_rounding_pico_to_nano_agrees_with_decimal_arithmetic(pico: int) -> None:
    context = Context(prec=60, rounding=ROUND_HALF_EVEN)
    rounded = Decimal(pico).scaleb(-3, context).quantize(Decimal(1), context=context)
    assert round_half_even(pico, 1000) == rounded


@pytest.mark.parametrize(
    ("pico", "nano"), [(499, 0), (500, 0), (501, 1), (1499, 1), (1500, 2), (2500, 2), (2501, 3)]
)
def test_half_a_nano_dollar_goes_to_the_even_neighbour(pico: int, nano: int) -> None:
    assert round_half_even(pico, 1000) == nano


@given(st.integers(0, 10**30))
@example(1)
@example(100)
@example(2**64)
def test_a_reply_carries_money_exactly_as_a_json_number(nano: int) -> None:
    text = encode_reply(usd(nano))
    back = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    assert isinstance(back, Decimal)  # a number, not a string
    assert Fraction(back) == Fraction(nano, 10**9)


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),  # noqa: DTZ001 -- gets its offset below
    st.integers(-1439, 1439),
)
def test_an_instant_is_exact_to_the_microsecond_at_every_offset(
    naive: datetime, minutes: int
) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert to_datetime(to_micros(moment)) == moment


@pytest.mark.parametrize(
    ("moment", "micros"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1),
        (datetime(1970, 1, 1, 2, 0, 1, tzinfo=timezone(timedelta(hours=2))), 1_000_000),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), -62_135_647_200_000_000),
    ],
)
def test_instants_count_from_the_epoch_in_utc(moment: datetime, micros: int) -> None:
    assert to_micros(moment) == micros


@pytest.mark.parametrize(
    "user", ["a", "alice@example.com", "a b", "ü" * 64, "\U0001f600" * 32, "a" * 128, "\u200b", "."]
)
def test_a_user_id_is_any_text_of_1_to_128_bytes(user: str) -> None:
    assert check_user_id(user) == user


@pytest.mark.parametrize(
    "user", ["", "a" * 129, "ü" * 64 + "a", "\x00", "a\n", "\x7f", "\x80", "a\x9fb", "\ud800"]
)
def test_an_empty_long_or_control_laden_text_is_no_user_id(user: str) -> None:
    with pytest.raises(ValueError, match=r"user id|surrogates"):
        check_user_id(user)
