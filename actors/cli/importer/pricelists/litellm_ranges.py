"""A table of LiteLLM's list: prices by range of input tokens, as tiers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from actors.cli.importer.pricelists.litellm_entry import Entry, Prices
from actors.cli.importer.pricelists.litellm_keys import LONG_WRITE, PART, TOKENS
from actors.cli.importer.pricelists.rows import TIERS_MAX

_INPUT: Final = "cost_per_input_token"
_OUTPUT: Final = "cost_per_output_token"
_REASONING: Final = "cost_per_reasoning_token"

Tiers = dict[int, Prices]
"""By bound, all prices that hold above it."""


def ranges_of(entry: Entry) -> tuple[Prices, Tiers] | None:
    """A table of prices by range of input tokens, if its ranges follow each other from 0.

    A range's price of something that it does not name is that of its input, of reasoning that
    of its output; only the output may be the entry's own.
    """
    listed = entry.row.get("tiered_pricing")
    if not isinstance(listed, list) or not listed or not all(isinstance(t, dict) for t in listed):
        return None
    starts = [_range(tier) for tier in listed]
    if None in starts:
        return None
    bounds = sorted((start, end, tier) for (start, end), tier in _zipped(starts, listed))
    follow = all(before[1] == after[0] for before, after in pairwise(bounds))
    if bounds[0][0] != 0 or not follow or len(bounds) > TIERS_MAX + 1:
        return None
    own = entry.tokens[("", 0)]
    names = {name for _, _, tier in bounds for name in map(TOKENS.get, listed[tier]) if name}
    tiers: Tiers = {}
    for start, _, tier in bounds:
        prices = _of_range(entry, listed[tier])
        if prices is None or _INPUT not in prices:
            return None
        if _OUTPUT not in prices and _OUTPUT in own:
            prices[_OUTPUT] = own[_OUTPUT]
        whole = {_REASONING: prices.get(_OUTPUT)}
        for name in names - prices.keys():
            stand_in = whole.get(name, prices[_INPUT])
            if stand_in is not None:
                prices[name] = stand_in
        tiers[start] = prices
    entry.taken("tiered_pricing")
    base = tiers.pop(0)
    kept = {n: p for n, p in own.items() if n.startswith(PART) and n != LONG_WRITE}
    return {**kept, **base}, tiers


def _zipped(
    starts: list[tuple[int, int] | None], listed: list[Any]
) -> list[tuple[tuple[int, int], int]]:
    return [(one, index) for index, one in enumerate(starts) if one and listed[index]]


def _range(tier: Mapping[str, Any]) -> tuple[int, int] | None:
    bounds = tier.get("range")
    if not isinstance(bounds, list) or len(bounds) != 2:
        return None
    if not all(isinstance(n, Decimal) and 0 <= n <= 10**9 and n == int(n) for n in bounds):
        return None
    return int(bounds[0]), int(bounds[1])


def _of_range(entry: Entry, tier: Mapping[str, Any]) -> Prices | None:
    prices: Prices = {}
    for key, value in tier.items():
        if key == "range":
            continue
        name = TOKENS.get(key)
        amount = None if name is None else entry.amount(f"tiered_pricing: {key}", value)
        if name is None or amount is None:
            return None
        prices[name] = amount
    return prices
