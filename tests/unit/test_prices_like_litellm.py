"""Rows of LiteLLM's list price calls as litellm does; where not, its list or code contradicts
itself, and the table says how."""

from __future__ import annotations

import random
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from actors.cli.importer.pricelists import litellm as importer
from actors.cli.importer.pricelists.rows import PriceList
from tests.support.litellm_charges import Case, charged, drawn, entries_of, list_text, provider_of
from tests.support.pricing_twin import Row, price

SEED = 20261130
CASES = 2_000
OF_EACH = 400
NANO = Fraction(1, 10**9)
FLOAT = Fraction(1, 10**9)
CLEANED = Fraction(1, 10**5)

Entry = dict[str, Any]


@dataclass(frozen=True)
class Contradiction:
    """Where litellm charges something else than its list says.

    Attributes:
        why: what litellm does.
        of: whether an entry can have it.
        when: whether a call of such an entry does.
    """

    why: str
    of: Callable[[Entry], bool]
    when: Callable[[Case], bool] = lambda _: True


def by(*names: str) -> Callable[[Entry], bool]:
    return lambda entry: entry["litellm_provider"] in names


def has(*words: str) -> Callable[[Entry], bool]:
    return lambda entry: all(any(word in key for key in entry) for word in words)


def is_batch(case: Case) -> bool:
    return case.asked == "batch"


CONTRADICTIONS = (
    Contradiction(
        "the code for Fireworks reads no price of a service tier, the list has some",
        lambda e: by("fireworks_ai")(e) and has("_priority")(e),
        lambda case: case.usage.price_variant != "",
    ),
    Contradiction(
        "an image of Azure with a size in its name is looked up as OpenAI's",
        lambda e: by("azure")(e) and e.get("mode") == "image_generation",
        lambda case: case.asked == "image" and "-x-" in case.listed,
    ),
    Contradiction(
        "the code for Perplexity reads neither tiers nor the fee per request, and takes the"
        " price of a search with low context",
        by("perplexity"),
        lambda case: case.asked == "tokens",
    ),
    Contradiction(
        "a price that is finer than 12 decimals is in no row; the report of the import names it",
        by("morph"),
    ),
    Contradiction("the code for Parallel has its own prices", by("parallel_ai")),
    Contradiction(
        "the code for xAI takes the price of the smallest resolution, the list has one besides",
        lambda e: by("xai")(e) and has("output_cost_per_image_1K")(e),
    ),
    Contradiction(
        "one fee per grounded prompt: searches are counted as one; a row counts each",
        lambda e: (
            provider_of(e) in ("gemini", "vertex_ai")
            and e.get("web_search_billing_unit") != "per_query"
            and has("search_context")(e)
        ),
        lambda case: case.said.get("searches", 0) > 1,
    ),
    Contradiction(
        "a table of ranges has none for a call without input, so its output is free",
        has("tiered_pricing"),
        lambda case: case.said.get("whole") == 0,
    ),
    Contradiction(
        "above a bound, a service tier pays the standard input but not the standard long write",
        has("_above_1hr_above_"),
        lambda case: case.said.get("long", 0) > 0 and case.usage.price_variant != "",
    ),
    Contradiction(
        "the code for batches reads no factor of geography or speed",
        lambda e: by("anthropic")(e) and has("_batches", "provider_specific_entry")(e),
        lambda case: is_batch(case) and bool(case.usage.price_factors),
    ),
    Contradiction(
        "where only the output has a batch price, cached input without a price is free",
        lambda e: has("_batches")(e) and "input_cost_per_token_batches" not in e,
        is_batch,
    ),
    Contradiction(
        "the code for batches does not take the price of image tokens for an absent output price",
        lambda e: (
            has("_batches", "output_cost_per_image_token")(e) and not e.get("output_cost_per_token")
        ),
        is_batch,
    ),
)
# Names of Stability's models on Bedrock that litellm makes one of the size and then does not know.
UNKNOWN_TO_LITELLM = by("bedrock")


@cache
def listed() -> tuple[dict[str, Entry], dict[tuple[str, str], str], dict[Any, list[Row]], set[Any]]:
    text = list_text()
    found = importer.read_litellm(text)
    rows: dict[Any, list[Row]] = defaultdict(list)
    for row in found.rows:
        rows[row.provider, row.model].append(row.body())
    places = importer._places(importer._entries(text, PriceList()), PriceList())
    cleaned = {(provider, model) for provider, model, _ in found.cleaned}
    return entries_of(text), {k: n for k, n in places.items() if k in rows}, dict(rows), cleaned


def cases(rng: random.Random, of: Callable[[Entry], bool], number: int) -> Iterator[Case]:
    entries, places, _, _ = listed()
    some = [(place, name) for place, name in places.items() if of(entries[name])]
    for _ in range(number):
        (provider, model), name = rng.choice(some)
        yield drawn(rng, provider, model, name, entries[name])


def differs(case: Case, theirs: Fraction) -> bool:
    _, _, rows, cleaned = listed()
    place = (case.usage.provider, case.usage.model)
    ours = price(rows[place], case.usage)
    assert ours is not None
    near = CLEANED if place in cleaned else FLOAT
    return abs(ours.exact - theirs) > NANO + theirs * near


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of litellm and pydantic
        yield


def test_calls_of_every_dimension_cost_what_litellm_says_but_for_its_contradictions() -> None:
    print(f"seed {SEED}")
    counts: Counter[str] = Counter()
    unexplained = []
    for case in cases(random.Random(SEED), lambda _: True, CASES):
        try:
            theirs = charged(case)
        except Exception:  # noqa: BLE001 -- litellm raises the bare one
            assert UNKNOWN_TO_LITELLM(dict(case.entry)), case
            counts["unknown to litellm"] += 1
            continue
        if differs(case, theirs):
            why = [c.why for c in CONTRADICTIONS if c.of(dict(case.entry)) and c.when(case)]
            counts.update(why)
            if not why:
                unexplained.append(case)
        else:
            counts["same"] += 1
    print(counts)
    assert unexplained == []
    assert counts["same"] > CASES * 0.97
    assert counts["unknown to litellm"] < CASES * 0.01


@pytest.mark.parametrize("contradiction", CONTRADICTIONS, ids=lambda c: c.why[:40])
def test_no_contradiction_is_in_the_table_that_is_none(contradiction: Contradiction) -> None:
    print(f"seed {SEED}")
    some = cases(random.Random(SEED), contradiction.of, OF_EACH)
    assert any(contradiction.when(case) and differs(case, charged(case)) for case in some)
