"""An entry of LiteLLM's list as rows: one for what it costs, one for each variant.

A variant's row stands alone, so it has what the list says only once too. What stands in for a
price that a variant lacks is what LiteLLM's own code takes: for a service tier the standard
price, for a batch half of it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from actors.cli.importer.pricelists.amounts import price
from actors.cli.importer.pricelists.litellm_entry import Entry, Prices
from actors.cli.importer.pricelists.litellm_keys import BATCH, PART, TOKENS
from actors.cli.importer.pricelists.litellm_ranges import Tiers, ranges_of
from actors.cli.importer.pricelists.rows import TIERS_MAX, has_price

_INPUT: Final = "cost_per_input_token"
_OUTPUT: Final = "cost_per_output_token"
_READ: Final = "cost_per_cache_read_token"
_WRITE: Final = "cost_per_cache_write_token"
_REASONING: Final = "cost_per_reasoning_token"
_IMAGE: Final = f"{PART}output_image"
_INCLUSIVE: Final = frozenset({"xai"})
"""Whose higher price begins at the bound itself: theirs is one token lower here."""
_HALVED: Final = (_INPUT, _OUTPUT, _READ, _WRITE, _IMAGE)
_HALF: Final = Decimal("0.5")
_BATCH_LACKS: Final = frozenset({_READ})
"""Of a batch, what costs the same as outside of one where it has no price of its own."""


def rows_of(entry: Entry) -> dict[str, dict[str, Any]]:
    """The fields of a row for each variant of an entry that has prices."""
    rows: dict[str, dict[str, Any]] = {}
    ranges = ranges_of(entry)
    variants = {variant for variant, _ in entry.tokens} - {""}
    for variant in ("", *sorted(variants)):
        if ranges is not None and variant == "":
            base, tiers = ranges
        elif variant == BATCH:
            base, tiers = _batch(entry)
        else:
            base, tiers = _tiered(entry, variant)
        fields = _fields(entry, base, tiers)
        if variant == BATCH and entry.batch_units:
            fields["units"] = {**entry.units, **entry.batch_units}
        if has_price(fields):
            rows[variant] = fields
    if rows and "" not in rows:
        entry.leave("prices of variants alone")
        return {}
    return rows


def _tiered(entry: Entry, variant: str) -> tuple[Prices, Tiers]:
    """The prices below all bounds, and from each bound on; a tier has what lower ones said."""
    standard = entry.tokens[("", 0)]
    own = entry.tokens.get((variant, 0), {})
    base = {**standard, **own}
    if variant:
        if _OUTPUT in own and _REASONING not in own:
            base.pop(_REASONING, None)
        if "cost_per_page" not in own:
            base.pop("cost_per_page", None)
            base.update({n: p for n, p in standard.items() if n == "cost_per_page"})
    _without_output(base)
    tiers: Tiers = {}
    running = base
    bounds = {at for which, at in entry.tokens if at and which in ("", variant)}
    for bound in sorted(bounds):
        listed = entry.tokens.get(("", bound), {}) | entry.tokens.get((variant, bound), {})
        running = {**running, **listed}
        tiers[bound] = running
    return base, tiers


def _without_output(base: Prices) -> None:
    """A model that makes nothing but images has no price of other output: it is theirs."""
    if not base.get(_OUTPUT) and _IMAGE in base:
        base[_OUTPUT] = base[_IMAGE]


def _batch(entry: Entry) -> tuple[Prices, Tiers]:
    """A batch has prices of its own; of those that it lacks, half the standard ones."""
    standard = dict(entry.tokens[("", 0)])
    own = entry.tokens.get((BATCH, 0), {})
    lacks = _HALVED if _INPUT not in own else (_OUTPUT, _IMAGE)
    halves = {
        n: half
        for n in lacks
        if n in standard and (half := _half(entry, n, standard[n])) is not None
    }
    same = {name: standard[name] for name in _BATCH_LACKS if name in standard}
    base = {**same, **halves, **own}
    if "cost_per_page" in standard:
        base.setdefault("cost_per_page", standard["cost_per_page"])
    _without_output(base)
    tiers: Tiers = {}
    running = base
    for bound in sorted({at for which, at in entry.tokens if at and which in ("", BATCH)}):
        listed = entry.tokens.get(("", bound), {})
        same = {n: listed[n] for n in _BATCH_LACKS if n in listed and n not in {**own, **halves}}
        running = {**running, **same, **entry.tokens.get((BATCH, bound), {})}
        tiers[bound] = running
    return base, tiers


def _half(entry: Entry, name: str, amount: Decimal) -> Decimal | None:
    try:
        return price(amount * _HALF)[0]
    except ValueError:  # finer than a price can be
        entry.leave(f"half of {name}, for a batch")
        return None


def _fields(entry: Entry, base: Prices, tiers: Tiers) -> dict[str, Any]:
    fields: dict[str, Any] = {n: p for n, p in base.items() if not n.startswith(PART)}
    fields |= entry.others
    parts = _parts(base)
    if parts:
        fields["token_parts"] = parts
    shown = _shown(entry, base, tiers)
    if shown:
        fields["tiers"] = shown
    if entry.units:
        fields["units"] = dict(entry.units)
    if entry.multipliers and any(name in base for name in TOKENS.values()):
        fields["multipliers"] = dict(entry.multipliers)
    return fields


def _shown(entry: Entry, base: Prices, tiers: Tiers) -> list[dict[str, Any]]:
    """The tiers with what differs anywhere from the prices below all bounds."""
    differ = {n for prices in tiers.values() for n, p in prices.items() if base.get(n) != p}
    shown: list[dict[str, Any]] = []
    before: Prices = {name: base[name] for name in differ if name in base}
    for bound in sorted(tiers):
        prices = {name: tiers[bound][name] for name in sorted(differ) if name in tiers[bound]}
        if prices == before:
            continue
        before = prices
        tier: dict[str, Any] = {"above_input_tokens": bound - (entry.provider in _INCLUSIVE)}
        tier |= {n: p for n, p in prices.items() if not n.startswith(PART)}
        if parts := _parts(prices):
            tier["token_parts"] = parts
        shown.append(tier)
    if len(shown) > TIERS_MAX:
        entry.leave(f"more than {TIERS_MAX} tiers")
        return []
    return shown


def _parts(prices: Prices) -> Prices:
    return {n.removeprefix(PART): p for n, p in prices.items() if n.startswith(PART)}
