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
from messages.codec import money_of
from messages.errors import InvalidRequest
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
    """A price and how it was found: ``catalog``, ``provider_default`` or ``estimate``.

    ``older`` is the price that was valid before.
    """

    price: Price
    how: str
    older: Priced | None = None


class Plan(msgspec.Struct, frozen=True):
    """A plan; prices in nano-USD."""

    terms: PlanTerms
    price_monthly_nano: int
    price_yearly_nano: int


class Catalog:
    """What calls cost and what plans allow. Read by `decide` only, never by `apply`."""

    def __init__(
        self, providers: Iterable[Provider], prices: Iterable[Price], plans: Iterable[Plan]
    ) -> None:
        self.providers = Providers(providers)
        # Made once: every charge asks for one of these.
        rows = list(prices)
        self._own = {(row.provider, row.model): Priced(row, "catalog") for row in rows}
        self._defaults = {
            row.provider: Priced(row, "provider_default") for row in rows if row.model == "default"
        }
        self._plans = {plan.terms.name: plan for plan in plans}

    @property
    def free(self) -> PlanTerms:
        """The plan of a user without a subscription."""
        plan = self.plan(FREE_TIER)
        assert plan is not None
        return plan.terms

    def plan(self, name: str) -> Plan | None:
        """The plan of a name, else the first of a tier."""
        plan = self._plans.get(name)
        if plan is not None:
            return plan
        return next((plan for plan in self._plans.values() if plan.terms.tier == name), None)

    def price(self, provider: str, model: str, moment: int) -> Priced:
        """The price of a model at a moment: its own row, else its provider's default one.

        Where neither is valid then it is an estimate.
        """
        found = self._own.get((provider, model))
        while found is not None and found.price.effective_from > moment:
            found = found.older
        if found is None:
            found = self._defaults.get(provider)
            while found is not None and found.price.effective_from > moment:
                found = found.older
        return found or _ESTIMATED

    def limit_value(self, name: str, raw: msgspec.Raw, field: str) -> int:
        """The value of a limit as it was sent: a count, or nano-USD.

        Raises:
            InvalidRequest: there is no such limit, or it cannot have that value.
        """
        provider, _, unit = name.rpartition("_")
        known = name in SPANNING or (
            unit in {"calls", "tokens", "cost"}
            and any(provider == known.name for known in self.providers.all)
        )
        if not known:
            raise InvalidRequest(f"there is no limit {name[:64]!r}", field)
        if is_cost(name):
            amount = money_of(raw, field)
            if amount is None:
                raise InvalidRequest(f"{name} must be a number", field)
            return amount
        text = bytes(raw)
        if not text.isdigit() or len(text) > 15:
            raise InvalidRequest(f"{name} must be an integer from 0 to 10^15 - 1", field)
        return int(text)


SPANNING: Final = frozenset({"ai_text_generation_calls", "monthly_cost"})

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
        (_plan(row) for row in load("plans.json", list[_PlanRow])),
    )


def _price(row: dict[str, str]) -> Price:
    units = {
        unit: parse_amount(Decimal(row[f"cost_per_{unit}"]), PRICE_DECIMALS_MAX)
        for unit in _UNITS
        if f"cost_per_{unit}" in row
    }
    return Price(provider=row["provider"], model=row["model"], version=1, effective_from=0, **units)


def _plan(row: _PlanRow) -> Plan:
    limits = tuple(
        (name, parse_amount(value, MONEY_DECIMALS_MAX) if is_cost(name) else int(value))
        for name, value in row.limits.items()
    )
    return Plan(
        PlanTerms(row.name, row.tier, 1, limits, row.features),
        parse_amount(row.price_monthly, MONEY_DECIMALS_MAX),
        parse_amount(row.price_yearly, MONEY_DECIMALS_MAX),
    )


def is_cost(limit: str) -> bool:
    """Whether a limit of that name is an amount of money."""
    return limit.endswith("_cost")
