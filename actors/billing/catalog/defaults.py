"""The catalogue that meterd starts with: the providers, prices and plans of ``data/``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from itertools import chain, count
from typing import TypeVar

import msgspec

from actors.billing.catalog.catalog import Catalog, Plan, is_cost
from actors.billing.catalog.default_list import (
    DefaultPrice,
    DefaultTier,
    UnitBlock,
    default_list,
    listed_providers,
    of_provider,
)
from actors.billing.catalog.prices import FACTOR_DECIMALS, Price, UnitPrice, price
from actors.billing.catalog.providers import BUILTIN, Provider
from messages.dimensions import DIMENSIONS, TOKEN_PRICES, Dimension
from messages.stored.catalog import PlanTerms
from messages.units import MONEY_DECIMALS_MAX, PRICE_DECIMALS_MAX, parse_amount, to_micros

_T = TypeVar("_T")


class _PlanRow(msgspec.Struct):
    name: str
    tier: str
    price_monthly: Decimal
    price_yearly: Decimal
    limits: dict[str, Decimal]
    features: tuple[str, ...]


@cache
def _plans() -> list[Plan]:
    return [_plan(row) for row in _loaded("plans.json", list[_PlanRow])]


def default_catalog() -> Catalog:
    """The catalogue that meterd starts with."""
    return Catalog([*BUILTIN.values(), *_others()], (), _plans(), _listed())


@cache
def _others() -> list[Provider]:
    """The providers of the default list that are none of the 14 of the contract."""
    return [
        Provider(id=one.id, name=one.name, kind=one.kind, served_by=one.id, aliases=one.aliases)
        for one in default_list().providers
    ]


@cache
def _listed() -> dict[str, Callable[[], Iterable[Price]]]:
    """Makes the default prices of each provider that has some."""
    own: dict[str, list[Price]] = {}
    for row in _loaded("prices.json", list[dict[str, str]]):
        own.setdefault(row["provider"], []).append(_price(row))
    since = to_micros(datetime.fromisoformat(f"{default_list().date}T00:00:00Z"))

    def maker(provider: str) -> Callable[[], Iterable[Price]]:
        # For all catalogues of the process: what one has come to is there for the next.
        rest = chain(own.get(provider, ()), map(row_of, of_provider(provider)))
        made: list[Price] = []

        def make() -> Iterator[Price]:
            for place in count():
                if place == len(made):
                    row = next(rest, None)
                    if row is None:
                        return
                    made.append(row)
                yield made[place]

        return make

    def row_of(row: DefaultPrice) -> Price:
        return _listed_price(row, since)

    return {provider: maker(provider) for provider in {*own, *listed_providers()}}


def _loaded(name: str, kind: type[_T]) -> _T:
    data = files("actors.billing.catalog").joinpath("data", name)
    return msgspec.json.decode(data.read_bytes(), type=kind)


def _price(row: dict[str, str]) -> Price:
    amounts = {
        dimension.price: parse_amount(Decimal(row[dimension.cost_field]), PRICE_DECIMALS_MAX)
        for dimension in DIMENSIONS
        if dimension.cost_field in row
    }
    return price(row["provider"], row["model"], amounts)


def _listed_price(row: DefaultPrice, since: int) -> Price:
    """A row of the default list; without a moment of its own it is in force from ``since`` on."""
    return price(
        row.provider,
        row.model,
        _amounts(row, DIMENSIONS),
        effective_from=since if row.effective_from is None else to_micros(row.effective_from),
        variant=row.variant,
        aliases=row.aliases,
        tiers=tuple([(x.above_input_tokens, _amounts(x, TOKEN_PRICES)) for x in row.tiers]),
        units={name: _unit(one) for name, one in row.units.items()},
        multipliers={name: _scaled(one, FACTOR_DECIMALS) for name, one in row.multipliers.items()},
    )


def _amounts(row: DefaultPrice | DefaultTier, dimensions: Iterable[Dimension]) -> dict[str, int]:
    costs = {one.price: getattr(row, one.cost_field, None) for one in dimensions} | row.token_parts
    return {
        name: _scaled(one, PRICE_DECIMALS_MAX) for name, one in costs.items() if one is not None
    }


def _unit(one: Decimal | UnitBlock) -> UnitPrice:
    usd, per = (one.usd, one.per) if isinstance(one, UnitBlock) else (one, 1)
    return UnitPrice(_scaled(usd, PRICE_DECIMALS_MAX), per)


def _scaled(number: Decimal, decimals: int) -> int:
    return int(number.scaleb(decimals))


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
