"""The form of the default list of prices, ``data/default_list.json``.

Its rows are bodies of `catalog.prices.put` and its providers of `catalog.providers.put`, so what
reads those reads these. A row without ``effective_from`` is in force from the list's date on.
`actors.cli.importer.default_catalogue` makes the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct


class UnitBlock(Struct, frozen=True, forbid_unknown_fields=True):
    """``usd`` for ``per`` of a unit."""

    usd: Decimal
    per: int


class DefaultTier(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of tokens above a bound."""

    above_input_tokens: int
    cost_per_input_token: Decimal | None = None
    cost_per_output_token: Decimal | None = None
    cost_per_cache_read_token: Decimal | None = None
    cost_per_cache_write_token: Decimal | None = None
    cost_per_reasoning_token: Decimal | None = None
    token_parts: dict[str, Decimal] = {}


class DefaultPrice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row; USD of one, None: the row does not price it."""

    provider: str
    model: str
    variant: str = ""
    cost_per_input_token: Decimal | None = None
    cost_per_output_token: Decimal | None = None
    cost_per_cache_read_token: Decimal | None = None
    cost_per_cache_write_token: Decimal | None = None
    cost_per_reasoning_token: Decimal | None = None
    cost_per_request: Decimal | None = None
    cost_per_search: Decimal | None = None
    cost_per_image: Decimal | None = None
    cost_per_page: Decimal | None = None
    token_parts: dict[str, Decimal] = {}
    tiers: tuple[DefaultTier, ...] = ()
    units: dict[str, Decimal | UnitBlock] = {}
    multipliers: dict[str, Decimal] = {}
    aliases: tuple[str, ...] = ()
    effective_from: datetime | None = None


class DefaultProvider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider that the rows need beside those of the contract."""

    id: str
    name: str
    kind: str
    aliases: tuple[str, ...] = ()


class DefaultList(Struct, kw_only=True, forbid_unknown_fields=True):
    """The file as it is written.

    Attributes:
        source: the package that it was made from, with its version.
        licence: that of the package.
        names: the package on whose names match rules were tried, with its version.
        date: the day from which rows are in force, as 2026-01-31.
        providers: bodies of `catalog.providers.put`.
        prices: bodies of `catalog.prices.put`.
    """

    source: str
    licence: str
    names: str
    date: str
    providers: list[dict[str, Any]]
    prices: list[dict[str, Any]]


class Defaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as it is read: as `DefaultList`, its prices as text until they are asked for."""

    source: str
    licence: str
    names: str
    date: str
    providers: tuple[DefaultProvider, ...]
    prices: tuple[Raw, ...]


class _Of(Struct):
    provider: str


@cache
def default_list() -> Defaults:
    """The default list."""
    data = files("actors.billing.catalog").joinpath("data", "default_list.json")
    return msgspec.json.decode(data.read_bytes(), type=Defaults)


@cache
def _by_provider() -> dict[str, list[Raw]]:
    found: dict[str, list[Raw]] = {}
    for text in default_list().prices:
        found.setdefault(_PROVIDER.decode(text).provider, []).append(text)
    return found


def listed_providers() -> Iterable[str]:
    """The providers that have prices in the list."""
    return _by_provider()


def of_provider(provider: str) -> Iterator[DefaultPrice]:
    """The rows of a provider, with exact numbers."""
    return map(_PRICE.decode, _by_provider().get(provider, ()))


def all_rows() -> Iterator[DefaultPrice]:
    """All rows."""
    return map(_PRICE.decode, default_list().prices)


_PROVIDER: Final = msgspec.json.Decoder(_Of)
_PRICE: Final = msgspec.json.Decoder(DefaultPrice)
