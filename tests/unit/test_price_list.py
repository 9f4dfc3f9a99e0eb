"""The list of prices: found by moment and shown by page as if all were gone through."""

from __future__ import annotations

import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from actors.billing.catalog.price_list import PriceList
from actors.billing.catalog.prices import DEFAULT, ESTIMATE, Price
from tests.support.turns import instructions

PROVIDERS = ("exa", "openai")
MODELS = ("", "\x00", "a", "a\x00", "b", DEFAULT, "\U0010ffff", "\U0010ffffb")
ROWS = st.lists(
    st.tuples(st.sampled_from(PROVIDERS), st.sampled_from(MODELS), st.integers(0, 5)), max_size=150
)


def price(provider: str, model: str, since: int, version: int) -> Price:
    return Price(
        provider=provider,
        model=model,
        version=version,
        effective_from=since,
        rates=ESTIMATE.rates,
    )


def naively_at(rows: list[Price], moment: int) -> Price | None:
    valid = [row for row in rows if row.effective_from <= moment]
    return max(valid, key=lambda row: (row.effective_from, row.version), default=None)


@given(ROWS, st.integers(-1, 6))
def test_the_price_at_a_moment_is_the_newest_of_those_that_began_by_then(
    rows: list[tuple[str, str, int]], moment: int
) -> None:
    prices, plain = PriceList(), list[Price]()
    for version, (provider, model, since) in enumerate(rows, 2):
        plain.append(price(provider, model, since, version))
        prices.put(plain[-1])
    for provider in PROVIDERS:
        for model in MODELS:
            own = [row for row in plain if (row.provider, row.model) == (provider, model)]
            others = [row for row in plain if (row.provider, row.model) == (provider, DEFAULT)]
            found, how = naively_at(own, moment), "catalog"
            if found is None:
                found, how = naively_at(others, moment), "provider_default"
            at = prices.find(provider, model, "", moment)
            assert (at and at.price) == found
            if at is not None:
                assert at.how == how
                assert at.since <= moment < at.until
                for other in (max(at.since, -1), min(at.until - 1, 6)):  # as long as it says
                    again = prices.find(provider, model, "", other)
                    assert again is not None
                    assert (again.price, again.how) == (at.price, at.how)
            assert prices.count(provider, model) == len(own)


@given(ROWS, st.sampled_from([None, *PROVIDERS, "nobody"]), st.sampled_from([None, *MODELS]))
def test_pages_show_each_price_once_by_provider_model_and_moment(
    rows: list[tuple[str, str, int]], provider: str | None, model: str | None
) -> None:
    prices, plain, most = PriceList(), list[Price](), 7
    for version, (own, name, since) in enumerate(rows, 2):
        plain.append(price(own, name, since, version))
        prices.put(plain[-1])
        if version % 20 == 0:
            prices.page(None, None, 0, most)  # so that the rest is sorted in later
    plain.sort(key=lambda row: (row.provider, row.model, row.effective_from, row.version))
    wanted = [
        row for row in plain if provider in {None, row.provider} and model in {None, row.model}
    ]
    shown, more = list[Price](), True
    while more:
        page, more = prices.page(provider, model, len(shown), most)
        assert len(page) == most or not more
        shown += page
    assert shown == wanted
    assert prices.page(provider, model, 10**30, most) == ([], False)


def of_one_model(count: int) -> PriceList:
    moments, found = list(range(count)), PriceList()
    random.Random(5).shuffle(moments)
    for version, moment in enumerate(moments, 2):
        found.put(price("openai", "gpt-9", moment, version))
    found.page(None, None, 0, 1)
    return found


def test_a_price_is_put_found_and_listed_in_as_many_steps_among_ten_thousand_as_among_few() -> None:
    few, many = of_one_model(20), of_one_model(10_000)
    more = price("openai", "gpt-9", 7, 20_000)
    asked: tuple[Callable[[PriceList], object], ...] = (
        lambda prices: prices.put(more),
        lambda prices: prices.page("openai", "gpt-9", 5, 10),
        lambda prices: prices.page(None, None, 5, 10),
        lambda prices: prices.find("openai", "gpt-9", "", 0),
    )
    for ask in asked:
        assert instructions(lambda: ask(many)) == instructions(lambda: ask(few))  # noqa: B023 -- called at once
