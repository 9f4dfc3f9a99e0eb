"""Price lists of others as rows of ours: LiteLLM's JSON file and the package genai-prices.

Only what a row can say exactly is taken; every other price field is named, never ignored in
silence: tiers by context length, audio, storage, searches beside tokens. A unit that a row
prices is counted as one if a call does not count it, so a price per search or image is taken
only for models that are about searches or images.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final

from actors.cli.importer.errors import BadInput
from messages.units import PRICE_DECIMALS_MAX, parse_amount

_MILLION: Final = Decimal(10) ** -6
_THOUSAND: Final = Decimal(10) ** -3

LITELLM_PROVIDERS: Final = {
    **{name: name for name in ("openai", "anthropic", "gemini", "mistral", "tavily", "serper")},
    "exa_ai": "exa",
    "firecrawl": "firecrawl",
    "stability": "stability",
}
_LITELLM_TOKENS: Final = {
    "input_cost_per_token": "cost_per_input_token",
    "output_cost_per_token": "cost_per_output_token",
    "cache_read_input_token_cost": "cost_per_cache_read_token",
    "cache_creation_input_token_cost": "cost_per_cache_write_token",
    "output_cost_per_reasoning_token": "cost_per_reasoning_token",
    "input_cost_per_request": "cost_per_request",
}
_LITELLM_UNITS: Final = {  # by mode: what the model is about
    "search": {"input_cost_per_query": "cost_per_search"},
    "image_generation": {"output_cost_per_image": "cost_per_image"},
    "image_edit": {"output_cost_per_image": "cost_per_image"},
    "ocr": {"ocr_cost_per_page": "cost_per_page"},
}
GENAI_PROVIDERS: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "gemini",
    "mistral": "mistral",
}
_GENAI: Final = {
    "input_mtok": ("cost_per_input_token", _MILLION),
    "output_mtok": ("cost_per_output_token", _MILLION),
    "cache_read_mtok": ("cost_per_cache_read_token", _MILLION),
    "cache_write_mtok": ("cost_per_cache_write_token", _MILLION),
    "output_reasoning_mtok": ("cost_per_reasoning_token", _MILLION),
    "requests_kcount": ("cost_per_request", _THOUSAND),
}
_GENAI_PAGES: Final = {"input_document_kpages": ("cost_per_page", _THOUSAND)}


@dataclass(frozen=True)
class ListedPrice:
    """A row; ``costs`` are USD per unit by the names of the catalogue."""

    provider: str
    model: str
    costs: dict[str, Decimal]
    since: date | None = None


@dataclass
class PriceList:
    """What a list came to.

    Attributes:
        rows: the prices that can be said exactly.
        left_out: price fields that cannot: (provider, model, field).
        skipped: how many models of providers that meterd does not have, by their name there.
    """

    rows: list[ListedPrice] = field(default_factory=list)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def add(
        self, provider: str, model: str, costs: Mapping[str, Decimal], since: date | None = None
    ) -> None:
        """Take a row, without the costs that are finer than a unit price can be."""
        exact: dict[str, Decimal] = {}
        for name, cost in costs.items():
            try:
                parse_amount(cost, PRICE_DECIMALS_MAX)
            except ValueError:
                self.left_out.append((provider, model, name))
            else:
                exact[name] = cost
        if exact:
            self.rows.append(ListedPrice(provider, model, exact, since))


def read_litellm(text: str) -> PriceList:
    """A file such as LiteLLM's ``model_prices_and_context_window.json``.

    Raises:
        BadInput: it is not one.
    """
    try:
        models = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, ArithmeticError) as error:
        raise BadInput(f"not JSON: {error}") from None
    except RecursionError:
        raise BadInput("not a price list: nested too deep") from None
    if not isinstance(models, dict) or not all(isinstance(row, dict) for row in models.values()):
        raise BadInput("not a price list: an object of objects by model is expected")
    try:
        "".join(models).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can say and no request can
        raise BadInput("not a price list: the name of a model is no text") from None
    found = PriceList()
    for name, row in models.items():
        if name == "sample_spec":  # describes the fields
            continue
        provider = LITELLM_PROVIDERS.get(str(row.get("litellm_provider")))
        if provider is None:
            found.skipped[str(row.get("litellm_provider"))] += 1
            continue
        _take_litellm(found, provider, name, row)
    return found


def _take_litellm(found: PriceList, provider: str, name: str, row: dict[str, Any]) -> None:
    model = name.removeprefix(f"{row['litellm_provider']}/")
    known = _LITELLM_TOKENS | _LITELLM_UNITS.get(str(row.get("mode")), {})
    costs: dict[str, Decimal] = {}
    for key, value in row.items():
        ours = known.get(key)
        if ours is not None and isinstance(value, Decimal):
            costs[ours] = value
        elif "cost" in key and value is not None:
            found.left_out.append((provider, model, key))
    found.add(provider, model, costs)


def read_genai_prices(providers: Iterable[Any], today: date) -> PriceList:
    """The data of the package genai-prices: what is valid now, and what will be.

    Args:
        providers: ``genai_prices.data.providers``.
        today: which of the dated prices are over.
    """
    found = PriceList()
    for provider in providers:
        ours = GENAI_PROVIDERS.get(provider.id)
        if ours is None:
            found.skipped[provider.id] += len(provider.models)
            continue
        for model in provider.models:
            for since, prices in _dated(found, ours, model, today):
                _take_genai(found, ours, model.id, prices, since)
    return found


def _dated(
    found: PriceList, provider: str, model: Any, today: date
) -> list[tuple[date | None, Any]]:
    """The prices in force and to come, oldest first."""
    if not isinstance(model.prices, list):
        return [(None, model.prices)]
    now: Any = None
    later: list[tuple[date | None, Any]] = []
    for conditional in model.prices:
        constraint = conditional.constraint
        start = getattr(constraint, "start_date", None)
        if constraint is not None and start is None:
            found.left_out.append((provider, model.id, type(constraint).__name__))
        elif start is None or start <= today:
            now = conditional.prices  # the last one that has begun
        else:
            later.append((start, conditional.prices))
    return [*([(None, now)] if now is not None else []), *later]


def _take_genai(
    found: PriceList, provider: str, model: str, prices: Any, since: date | None
) -> None:
    given = {name: price for name, price in vars(prices).items() if price is not None}
    known = _GENAI if "input_mtok" in given else _GENAI | _GENAI_PAGES
    costs: dict[str, Decimal] = {}
    for name, price in given.items():
        if name not in known:
            found.left_out.append((provider, model, name))
            continue
        ours, factor = known[name]
        base = price
        if not isinstance(price, Decimal):
            found.left_out.append((provider, model, f"{name}: tiers"))
            base = price.base
        costs[ours] = base * factor
    found.add(provider, model, costs, since)
