"""The catalogue that meterd starts with: the providers, prices and plans of ``data/``."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import TypeVar

import msgspec

from actors.billing.catalog.catalog import Catalog, Plan, is_cost
from actors.billing.catalog.prices import Price, rates_of
from actors.billing.catalog.providers import BUILTIN
from messages.dimensions import DIMENSIONS
from messages.stored.catalog import PlanTerms
from messages.units import MONEY_DECIMALS_MAX, PRICE_DECIMALS_MAX, parse_amount

_T = TypeVar("_T")


class _PlanRow(msgspec.Struct):
    name: str
    tier: str
    price_monthly: Decimal
    price_yearly: Decimal
    limits: dict[str, Decimal]
    features: tuple[str, ...]


@cache
def _defaults() -> tuple[list[Price], list[Plan]]:
    data = files("actors.billing.catalog").joinpath("data")

    def load(name: str, kind: type[_T]) -> _T:
        return msgspec.json.decode(data.joinpath(name).read_bytes(), type=kind)

    return (
        [_price(row) for row in load("prices.json", list[dict[str, str]])],
        [_plan(row) for row in load("plans.json", list[_PlanRow])],
    )


def default_catalog() -> Catalog:
    """The catalogue that meterd starts with."""
    return Catalog(BUILTIN.values(), *_defaults())


def _price(row: dict[str, str]) -> Price:
    amounts = {
        dimension.price: parse_amount(Decimal(row[dimension.cost_field]), PRICE_DECIMALS_MAX)
        for dimension in DIMENSIONS
        if dimension.cost_field in row
    }
    return Price(
        provider=row["provider"],
        model=row["model"],
        version=1,
        effective_from=0,
        rates=rates_of(amounts),
    )


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
