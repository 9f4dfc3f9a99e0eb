"""What contract 1.1 takes as a row of `catalog.prices.put` and as a provider, once more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

TOKENS = frozenset(
    f"cost_per_{n}_token" for n in ("input", "output", "cache_read", "cache_write", "reasoning")
)
COSTS = TOKENS | {f"cost_per_{n}" for n in ("request", "search", "image", "page")}
PARTS = frozenset(
    [f"{way}_{kind}" for way in ("input", "output") for kind in ("audio", "image", "video")]
    + ["cache_read_audio", "cache_read_image", "cache_write_long"]
)
UNITS = frozenset(["seconds", "characters", "web_searches", "file_searches", "annotated_pages"])
PROVIDER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
ENDS = ("_calls", "_tokens", "_cost")
RESERVED = frozenset(["monthly", "ai_text_generation", "default", "other", "total", "all"])
NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
ROW = COSTS | {"provider", "model", "variant", "token_parts", "tiers", "units", "multipliers"}
ROW |= {"aliases", "effective_from", "event_id"}


def problems_of_rows(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is wrong with rows, each for itself and beside each other."""
    rows = list(rows)
    found = [f"{row['provider']} {row['model']}: {why}" for row in rows for why in _row(row)]
    keys = Counter(
        (r["provider"], r["model"], r.get("variant", ""), str(r.get("effective_from")))
        for r in rows
    )
    found += [f"{key}: twice" for key, count in keys.items() if count > 1]
    models = {(row["provider"], row["model"]) for row in rows}
    owners: dict[tuple[str, str], str] = {}
    for row in rows:
        for name in row.get("aliases") or ():
            if (row["provider"], name) in models:
                found.append(f"{name}: an alias that is a model")
            if owners.setdefault((row["provider"], name), row["model"]) != row["model"]:
                found.append(f"{name}: an alias of two")
    return found


def _row(row: Mapping[str, Any]) -> Iterator[str]:
    if unknown := row.keys() - ROW:
        yield f"unknown fields {sorted(unknown)}"
    yield from _provider_id(row["provider"])
    if not 1 <= len(row["model"]) <= 256:
        yield "a model's name is empty or too long"
    if not isinstance(row.get("variant", ""), str) or len(row.get("variant", "")) > 64:
        yield "a variant is too long"
    prices = {**row, **(row.get("token_parts") or {})}
    priced = (COSTS | PARTS) & prices.keys() or row.get("units") or row.get("tiers")
    if not priced:
        yield "no price"
    yield from _prices(row, COSTS)
    yield from _tiers(row.get("tiers") or ())
    if row.get("variant") and row.get("aliases"):
        yield "aliases of a variant"
    if len(row.get("aliases") or ()) > 64:
        yield "too many aliases"
    yield from _units(row.get("units") or {})
    for name, factor in (row.get("multipliers") or {}).items():
        if not NAME.fullmatch(name):
            yield f"a factor's name {name}"
        yield from _amount(name, factor, 4, 1_000)


def _units(units: Mapping[str, Any]) -> Iterator[str]:
    for name, each in units.items():
        if name not in UNITS:
            yield f"unknown unit {name}"
        if isinstance(each, Mapping):
            if set(each) != {"usd", "per"} or not 1 <= each["per"] <= 10**9:
                yield f"a block {each}"
            yield from _amount(name, each["usd"], 12, 10**6)
        else:
            yield from _amount(name, each, 12, 10**6)


def _tiers(tiers: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    bounds = [tier["above_input_tokens"] for tier in tiers]
    if len(bounds) > 4 or bounds != sorted(set(bounds)):
        yield f"tiers {bounds}"
    for tier in tiers:
        if not 0 <= tier["above_input_tokens"] <= 10**9:
            yield "a bound"
        if tier.keys() <= {"above_input_tokens"}:
            yield "a tier without prices"
        if unknown := tier.keys() - TOKENS - {"above_input_tokens", "token_parts"}:
            yield f"unknown fields of a tier {sorted(unknown)}"
        yield from _prices(tier, TOKENS)


def _prices(of: Mapping[str, Any], names: frozenset[str]) -> Iterator[str]:
    for name in names & of.keys():
        yield from _amount(name, of[name], 12, 10**6)
    for part, each in (of.get("token_parts") or {}).items():
        if part not in PARTS:
            yield f"unknown part {part}"
        yield from _amount(part, each, 12, 10**6)


def _amount(name: str, amount: Any, decimals: int, most: int) -> Iterator[str]:
    if not isinstance(amount, Decimal) or not amount.is_finite() or not 0 <= amount <= most:
        yield f"{name} is {amount!r}"
    elif amount != round(amount, decimals):
        yield f"{name} is {amount}, finer than {decimals} decimals"


def problems_of_providers(providers: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is wrong with providers."""
    providers = list(providers)
    found = [f"{one['id']}: {why}" for one in providers for why in _provider_id(one["id"])]
    names = Counter(n for one in providers for n in (one["id"], *(one.get("aliases") or ())))
    found += [f"{name}: twice" for name, count in names.items() if count > 1]
    for one in providers:
        if not 1 <= len(one["kind"]) <= 32 or not one["name"] or len(one.get("aliases") or ()) > 16:
            found.append(f"{one}")
    return found


def _provider_id(name: str) -> Iterator[str]:
    if not PROVIDER.fullmatch(name) or name.endswith(ENDS) or name in RESERVED:
        yield f"a provider's id {name!r}"
