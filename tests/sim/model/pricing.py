"""What calls cost by the contract: the row that is in force, found by name, and its charge."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from tests.sim.model.reference import DATA, PRICES, Refused, rounded
from tests.support import pricing_twin as twin
from tests.support.meter import micros
from tests.support.pricing_names import Match, find

Row = dict[str, Any]

ESTIMATE: Row = {
    "model": "",
    **{f"cost_per_{way}_token": Decimal("0.000001") for way in ("input", "output")},
}
COUNTS = (
    *("tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write"),
    *("tokens_reasoning", "search_count", "image_count", "page_count"),
)


_PARTS = {
    "tokens_input": ("tokens_cache_read", "tokens_cache_write", *twin.INPUT_PARTS),
    "tokens_output": ("tokens_reasoning", *twin.OUTPUT_PARTS),
    "tokens_cache_read": twin.READ_PARTS,
    "tokens_cache_write": twin.WRITE_PARTS,
}
"""What each whole is made of, in the order in which it is looked at."""


@dataclass(frozen=True)
class Found:
    """A row, how it was found, and whether it is of the variant that was asked for."""

    row: Row
    priced: str
    match: Match | None
    variant_priced: bool | None

    @property
    def price_model(self) -> str | None:
        return None if self.match is None else self.match.model

    @property
    def matched_by(self) -> str | None:
        return None if self.match is None else self.match.by


@cache
def defaults() -> tuple[Row, ...]:
    """The rows that a fresh catalogue has, those of v1 first."""
    listed = json.loads((DATA / "default_list.json").read_text(), parse_float=Decimal)
    since = micros(f"{listed['date']}T00:00:00Z")
    own = [{**_exact(row), "effective_from": 0} for row in PRICES.values()]
    others = [
        {
            **row,
            "effective_from": micros(row["effective_from"]) if "effective_from" in row else since,
        }
        for row in listed["prices"]
    ]
    return tuple({"variant": "", **row, "version": 1} for row in (*own, *others))


def _exact(row: Mapping[str, Any]) -> Row:
    return {n: Decimal(v) if n.startswith("cost_per") else v for n, v in row.items()}


def in_force(rows: Iterable[Row], at: int) -> dict[tuple[str, str], Row]:
    """The newest row of each model and variant of a provider."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        place = (row["model"], row["variant"])
        newest = found.get(place)
        if row["effective_from"] <= at and (
            newest is None
            or (newest["effective_from"], newest["version"])
            <= (row["effective_from"], row["version"])
        ):
            found[place] = row
    return found


def look_up(rows: Iterable[Row], provider: str, model: str, variant: str, at: int) -> Found:
    """The price of a model, of a provider's rows."""
    valid = in_force(rows, at)
    usable = {name for name, of in valid if of in {"", variant}}
    models = [
        {"model": name, "aliases": valid.get((name, ""), {}).get("aliases", ())} for name in usable
    ]
    match, priced = find(models, provider, model), "catalog"
    if match is None and "default" in usable:
        match, priced = Match("default", "provider_default"), "provider_default"
    if match is None:
        return Found(ESTIMATE, "estimate", None, False if variant else None)
    row = valid.get((match.model, variant)) or valid[match.model, ""]
    return Found(row, priced, match, row["variant"] == variant if variant else None)


def usage_of(body: Row, units: Mapping[str, int]) -> twin.Usage:
    """What a body says, checked."""
    usage = twin.counted_inclusively(
        twin.Usage(
            "",
            "",
            **{name: body[name] for name in COUNTS if name in body},
            token_parts=body.get("token_parts", {}),
            units={name: Decimal(nano).scaleb(-9) for name, nano in units.items()},
            token_counting=body.get("token_counting", "inclusive"),
            price_variant=body.get("price_variant", ""),
            price_factors=frozenset(body.get("price_factors", ())),
            status_code=body.get("status_code"),
        )
    )
    for whole, counts in _PARTS.items():
        left = getattr(usage, whole)
        for name in counts:
            left -= usage.token_parts.get(name, getattr(usage, name, 0))
            if left < 0:
                raise Refused("invalid_request", name if name in COUNTS else "token_parts")
    return usage


def charged(found: Found, usage: twin.Usage) -> Row:
    """The fields of a reply that a charge comes to."""
    priced = twin.charge(found.row, usage, found.match)
    return {
        "cost": priced.nano,
        "cost_input": priced.nano_input,
        "cost_output": priced.nano_output,
        "tier": priced.tier,
        "unpriced": sorted(priced.unpriced),
    }


def derived(found: Found, usage: twin.Usage, tokens: int | None, calls: int) -> tuple[int, int]:
    """The tokens and the cost of calls that are not made yet."""
    counted = usage.tokens_input + usage.tokens_output
    said = counted or usage.tokens_cache_read or usage.tokens_cache_write or usage.tokens_reasoning
    wanted = (counted if tokens is None else tokens) if said else tokens or 0
    if said and wanted < counted:
        raise Refused("invalid_request", "tokens_requested")
    size = max(wanted, usage.tokens_input)
    token_prices, _ = twin.at_tier(found.row, size)
    row = {n: v for n, v in found.row.items() if n not in {"tiers", "token_parts"}}
    row |= {n: v for n, v in token_prices.items() if not n.startswith("token_parts.")}
    row["token_parts"] = {
        n.removeprefix("token_parts."): v for n, v in token_prices.items() if "token_parts." in n
    }
    factor = Fraction(1)
    known = found.row.get("multipliers") or {}
    region = {found.match.region} if found.match is not None else set[str]()
    for name in usage.price_factors | region:
        factor *= Fraction(known.get(name, 1))
    ways = [Fraction(row.get(f"cost_per_{way}_token") or 0) for way in ("input", "output")]
    exact = twin.charge(row, usage, found.match).exact * calls
    exact += (wanted - counted) * max(ways) * factor * (calls if said else 1)
    return wanted, rounded(exact * 10**9)
