"""The catalogue: providers, prices and plans, by default those in ``data/``."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Final, TypeVar

import msgspec

from actors.billing.pricing import ESTIMATE, Price
from actors.billing.providers import Provider, Providers
from messages.events import PlanTerms
from messages.units import MONEY_DECIMALS_MAX, PRICE_DECIMALS_MAX, parse_amount

FREE_TIER: Final = "free"
_T = TypeVar("_T")
_UNITS: Final = (
    "input_token",
    "output_token",
    "cache_read_token",
    "cache_write_token",
    "reasoning_token",
    "request",
    "search",
    "image",
    "page",
)


class Priced(msgspec.Struct, frozen=True):
    """A price and how it was found: ``catalog``, ``provider_default`` or ``estimate``."""

    price: Price
    how: str


class Catalog:
    """What calls cost and what plans allow. Read by `decide` only, never by `apply`."""

    def __init__(
        self, providers: Iterable[Provider], prices: Iterable[Price], plans: Iterable[PlanTerms]
    ) -> None:
        self.providers = Providers(providers)
        # Made once: every charge asks for one of these.
        rows = list(prices)
        self._own = {(row.provider, row.model): Priced(row, "catalog") for row in rows}
        self._defaults = {
            row.provider: Priced(row, "provider_default") for row in rows if row.model == "default"
        }
        self._plans = {plan.tier: plan for plan in plans}

    @property
    def free(self) -> PlanTerms:
        """The plan of a user without a subscription."""
        return self._plans[FREE_TIER]

    def price(self, provider: str, model: str) -> Priced:
        """The price of a model: its own row, else its provider's default, else an estimate."""
        return self._own.get((provider, model)) or self._defaults.get(provider) or _ESTIMATED


_ESTIMATED: Final = Priced(ESTIMATE, "estimate")


class _PlanRow(msgspec.Struct):
    name: str
    tier: str
    price_monthly: Decimal
    price_yearly: Decimal
    limits: dict[str, Decimal]
    features: tuple[str, ...]


@cache
def default_catalog() -> Catalog:
    """The catalogue that meterd starts with."""
    data = files("actors.billing").joinpath("data")

    def load(name: str, kind: type[_T]) -> _T:
        return msgspec.json.decode(data.joinpath(name).read_bytes(), type=kind)

    prices = load("prices.json", list[dict[str, str]])
    return Catalog(
        load("providers.json", list[Provider]),
        (_price(row) for row in prices),
        (_terms(row) for row in load("plans.json", list[_PlanRow])),
    )


def _price(row: dict[str, str]) -> Price:
    units = {
        unit: parse_amount(Decimal(row[f"cost_per_{unit}"]), PRICE_DECIMALS_MAX)
        for unit in _UNITS
        if f"cost_per_{unit}" in row
    }
    return Price(provider=row["provider"], model=row["model"], version=1, effective_from=0, **units)


def _terms(row: _PlanRow) -> PlanTerms:
    limits = tuple(
        (name, parse_amount(value, MONEY_DECIMALS_MAX) if is_cost(name) else int(value))
        for name, value in row.limits.items()
    )
    return PlanTerms(row.name, row.tier, 1, limits, row.features)


def is_cost(limit: str) -> bool:
    """Whether a limit of that name is an amount of money."""
    return limit.endswith("_cost")
