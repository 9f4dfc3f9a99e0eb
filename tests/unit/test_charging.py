"""The whole rule of a charge, held against the same rule written once more in fractions."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from actors.billing.catalog.charging import (
    Used,
    charge,
    charge_in_full,
    check_parts,
    counted_inside,
    with_parts,
)
from actors.billing.catalog.price_forms import entry_of, row_of
from actors.billing.catalog.prices import Price, UnitPrice, price
from messages.codec import encode_reply
from messages.dimensions import COUNT_FIELDS, DIMENSIONS, PART_NAMES, TOKEN_PRICES
from messages.errors import InvalidRequest
from messages.prices import (
    PricesPut,
)
from tests.support import pricing_twin as twin

SEED = 20261130
CASES = 5_000
FACTORS = ("us", "eu", "fast", "nowhere")
UNITS = ("seconds", "characters", "web_searches")


def body_of(chance: random.Random) -> dict[str, Any]:
    """A body of `prices.put` with some of all that a price may have."""

    def usd(decimals: int = 12) -> Decimal:
        return Decimal(chance.randrange(10 ** chance.randint(1, decimals))).scaleb(-12)

    def some(names: Any, share: float) -> list[Any]:
        return [name for name in names if chance.random() < share]

    body: dict[str, Any] = {one.cost_field: usd(9) for one in some(DIMENSIONS, 0.5)}
    body["token_parts"] = {name: usd(9) for name in some(PART_NAMES, 0.3)}
    bounds = sorted(chance.sample(range(2_000), chance.randrange(5)))
    body["tiers"] = [
        {
            "above_input_tokens": bound,
            "token_parts": {name: usd(9) for name in some(PART_NAMES, 0.2)},
            **{one.cost_field: usd(9) for one in some(TOKEN_PRICES, 0.6)},
        }
        for bound in bounds
    ]
    for tier in body["tiers"]:
        tier["cost_per_output_token"] = usd(9)
    body["units"] = {
        name: chance.choice(
            [usd(), {"usd": usd(), "per": chance.choice([1, 60, 7, 1_000, 999_983])}]
        )
        for name in some(UNITS, 0.6)
    }
    body["multipliers"] = {
        name: Decimal(chance.randrange(30_000)).scaleb(-4) for name in some(FACTORS[:3], 0.5)
    }
    return {"provider": "openai", "model": "m", "cost_per_request": usd(9), **body}


def put(body: dict[str, Any]) -> Price:
    """The row that the service makes of a body."""
    ask = msgspec.json.decode(encode_reply(body), type=PricesPut)
    row = row_of(ask)
    return price(
        "openai",
        "m",
        row.amounts,
        tiers=tuple([(tier.above, tier.amounts) for tier in row.tiers]),
        units={name: UnitPrice(*unit) for name, unit in row.units.items()},
        multipliers=row.multipliers,
    )


def call_of(chance: random.Random) -> dict[str, Any]:
    """What a call says, mostly with its parts within their wholes."""

    def maybe(value: int) -> int | None:
        return chance.choice([None, 0, value, value])

    most = chance.choice([50, 2_500, 10**8])
    counts: dict[str, Any] = {name: maybe(chance.randrange(most)) for name in COUNT_FIELDS[2:5]}
    counts["tokens_input"] = chance.choice([None, chance.randrange(most * 4)])
    counts["tokens_output"] = chance.choice([None, chance.randrange(most * 3)])
    if chance.random() < 0.5:
        counts |= {name: chance.choice([None, 0, 1, 7]) for name in COUNT_FIELDS[5:]}
    parts = {name: chance.randrange(most // 3) for name in PART_NAMES if chance.random() < 0.25}
    units = {name: chance.randrange(10**12) for name in UNITS if chance.random() < 0.3}
    return {
        "counts": counts,
        "parts": parts,
        "units": units,
        "factors": [name for name in FACTORS if chance.random() < 0.25],
        "counting": chance.choice(["inclusive", "exclusive"]),
        "status_code": chance.choice([None, 200, 399, 400, 500]),
    }


def by_twin(body: dict[str, Any], call: dict[str, Any]) -> Any:
    said = {name: count for name, count in call["counts"].items() if count is not None}
    usage = twin.Usage(
        "openai",
        "m",
        **said,
        token_parts=call["parts"],
        units={name: Decimal(nano).scaleb(-9) for name, nano in call["units"].items()},
        price_factors=frozenset(call["factors"]),
        token_counting=call["counting"],
        status_code=call["status_code"],
    )
    found = twin.price([body], usage)
    assert found is not None
    return (found.nano, found.nano_input, found.nano_output), found.tier, found.unpriced


def by_service(row: Price, call: dict[str, Any]) -> Any:
    counts = tuple([call["counts"].get(name) for name in COUNT_FIELDS])
    if call["counting"] == "exclusive":
        counts = counted_inside(counts)
    everything = with_parts(counts, call["parts"])
    check_parts(everything)
    failed = (call["status_code"] or 200) >= 400
    found = charge_in_full(row, Used(everything, call["units"], call["factors"], None, failed))
    if row.plain and not (call["parts"] or call["units"] or call["factors"]):
        assert charge(row, counts) == found.charge  # the short way, where it is taken
    return found.charge, found.tier, frozenset(found.unpriced)


def test_five_thousand_calls_cost_what_the_rule_in_fractions_says() -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    refused = tiers = unpriced = rounded = 0
    for _ in range(CASES):
        body, call = body_of(chance), call_of(chance)
        row = put(body)
        try:
            wanted = by_twin(body, call)
        except twin.Refused:
            refused += 1
            with pytest.raises(InvalidRequest):
                by_service(row, call)
            continue
        assert by_service(row, call) == wanted, (body, call)
        tiers += wanted[1] is not None
        unpriced += bool(wanted[2])
        rounded += wanted[0][0] > 0
    # Each of them has to be tried for this to say anything.
    assert min(refused, tiers, unpriced, rounded) > 500, (refused, tiers, unpriced, rounded)


def test_plain_prices_charge_plain_calls_as_the_whole_rule_does() -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    for _ in range(500):
        body: dict[str, Any] = {
            one.cost_field: Decimal(chance.randrange(10**8)).scaleb(-12) for one in TOKEN_PRICES
        }
        body |= {"provider": "openai", "model": "m", "cost_per_request": Decimal("0.001")}
        call = call_of(chance) | {"parts": {}, "units": {}, "factors": [], "counting": "inclusive"}
        call["counts"] |= dict.fromkeys(COUNT_FIELDS[5:])
        row = put(body)
        assert row.plain
        try:
            wanted = by_twin(body, call)
        except twin.Refused:
            continue
        assert by_service(row, call) == wanted


def test_a_price_is_shown_as_it_was_put() -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    for _ in range(200):
        body = body_of(chance)
        shown = msgspec.json.decode(encode_reply(entry_of(put(body))), type=PricesPut, strict=False)
        assert row_of(shown) == row_of(msgspec.json.decode(encode_reply(body), type=PricesPut))
