"""Rows of genai-prices price calls as the package does, to the last digit."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from actors.cli.importer.pricelists.genai import read_genai_prices
from actors.cli.importer.pricelists.providers import provider_id
from tests.support.genai_charges import Case, charged, drawn
from tests.support.pricing_twin import Row, price
from tests.support.sdks import sdk

SEED = 20261130
CASES = 2_000
CLEANED = Fraction(1, 10**5)
# The package's Decimals have 28 digits; a third of an hour has no end.
DIGITS = Fraction(1, 10**24)


# Before, at and after days on which prices change; at an hour that is no off-peak one.
@pytest.mark.parametrize("day", [(2026, 6, 1), (2026, 10, 19), (2026, 11, 30), (2027, 1, 1)])
def test_calls_of_every_dimension_cost_what_the_package_says(day: tuple[int, int, int]) -> None:
    print(f"seed {SEED}")
    at = datetime(*day, 17, 30, tzinfo=UTC)
    found = read_genai_prices(sdk("genai_prices.data").providers, at.date())
    rows: dict[Any, list[Row]] = defaultdict(list)
    for row in found.rows:
        if row.since is None:
            rows[row.provider, row.model].append(row.body())
    cleaned = {(provider, model) for provider, model, _ in found.cleaned}
    models = [
        (provider, model, ours)
        for provider in sdk("genai_prices.data").providers
        if (ours := provider_id(provider.id)) is not None
        for model in provider.models
        if (ours, model.id) in rows
    ]
    rng = random.Random(SEED)
    counts: Counter[str] = Counter()
    different: list[Case] = []
    for _ in range(CASES):
        provider, model, ours = rng.choice(models)
        case = drawn(rng, provider, model, ours, at)
        theirs = charged(case, at)
        priced = price(rows[ours, model.id], case.usage)
        assert priced is not None
        near = CLEANED if (ours, model.id) in cleaned else DIGITS
        same = abs(priced.exact - theirs) <= theirs * near
        counts["same" if same else "different"] += 1
        if not same:
            different.append(case)
    print(counts)
    assert different == []
