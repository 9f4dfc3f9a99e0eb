"""What a call costs by contract 1.1, section 4, once more: plain, slow, in fractions.

It shares nothing with the service but the names on the wire. `price` follows the order of the
contract: token counting, model, variant, tier, parts, multipliers, then request and units; all
is an exact fraction of a USD, and there is one rounding, half to even, to 1e-9 USD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.support.pricing_names import Match, find

Amount = int | Decimal | Fraction
Row = Mapping[str, Any]
"""A body of `catalog.prices.put`."""

NANO = 10**9
TOKENS_MAX = 10**9
INPUT_PARTS = ("input_audio", "input_image", "input_video")
OUTPUT_PARTS = ("output_audio", "output_image", "output_video")
READ_PARTS = ("cache_read_audio", "cache_read_image")
WRITE_PARTS = ("cache_write_long",)
COUNTS = {  # v1's units: what one costs
    "search_count": "cost_per_search",
    "image_count": "cost_per_image",
    "page_count": "cost_per_page",
}


class Refused(ValueError):
    """`invalid_request`: the counts contradict each other."""


@dataclass(frozen=True)
class Usage:
    """A call, by the fields of `track`."""

    provider: str
    model: str
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_cache_read: int = 0
    tokens_cache_write: int = 0
    tokens_reasoning: int = 0
    search_count: int | None = None
    image_count: int | None = None
    page_count: int | None = None
    token_parts: Mapping[str, int] = field(default_factory=dict)
    units: Mapping[str, Amount] = field(default_factory=dict)
    token_counting: str = "inclusive"
    price_variant: str = ""
    price_factors: frozenset[str] = frozenset()
    status_code: int | None = None


@dataclass(frozen=True)
class Priced:
    """What the call costs, and how that was found.

    Attributes:
        exact: USD, before the one rounding.
        nano: 1e-9 USD, after it.
        nano_input: the part for the input, factors included, rounded for itself.
        nano_output: that for the output.
        tier: the bound of the tier, or None.
        variant_priced: whether the variant that was asked for has a row.
        unpriced: names of what was sent above 0 and has no price.
    """

    exact: Fraction
    nano: int
    nano_input: int
    nano_output: int
    price_model: str
    matched_by: str
    variant_priced: bool
    tier: int | None
    unpriced: frozenset[str]


def price(rows: Iterable[Row], usage: Usage) -> Priced | None:
    """The charge of a call, or None: no row of its provider fits, not even undated.

    Args:
        rows: those in force at the moment of the call.
        usage: the call.

    Raises:
        Refused: a part is over its whole, or there are too many tokens.
    """
    usage = counted_inclusively(usage)
    check(usage)
    own = [row for row in rows if row["provider"] == usage.provider]
    match = find(own, usage.provider, usage.model)
    if match is None:
        return None
    variants = {row.get("variant", ""): row for row in own if row["model"] == match.model}
    row = variants.get(usage.price_variant) or variants.get("")
    return None if row is None else charge(row, usage, match)


def counted_inclusively(usage: Usage) -> Usage:
    """The call with its cache counts inside of `tokens_input`."""
    if usage.token_counting != "exclusive":
        return usage
    whole = usage.tokens_input + usage.tokens_cache_read + usage.tokens_cache_write
    said = {name: getattr(usage, name) for name in usage.__dataclass_fields__}
    return Usage(**{**said, "tokens_input": whole, "token_counting": "inclusive"})


def check(usage: Usage) -> None:
    """No part is over its whole."""
    part = usage.token_parts.get
    inside = sum(part(name, 0) for name in INPUT_PARTS)
    inside += usage.tokens_cache_read + usage.tokens_cache_write
    outside = sum(part(name, 0) for name in OUTPUT_PARTS) + usage.tokens_reasoning
    pairs = (
        (usage.tokens_input, TOKENS_MAX),
        (usage.tokens_output, TOKENS_MAX),
        (inside, usage.tokens_input),
        (outside, usage.tokens_output),
        (sum(part(name, 0) for name in READ_PARTS), usage.tokens_cache_read),
        (sum(part(name, 0) for name in WRITE_PARTS), usage.tokens_cache_write),
    )
    if any(some > whole for some, whole in pairs):
        raise Refused(str(pairs))


def charge(row: Row, usage: Usage, match: Match | None = None) -> Priced:
    """The charge of a call by one row."""
    prices, tier = at_tier(row, usage.tokens_input)
    unpriced: set[str] = set()

    def whole(name: str, *of: str) -> Fraction:
        """The price of the first of some names that has one; 0 if none has."""
        for one in (name, *of):
            if prices.get(one) is not None:
                return Fraction(prices[one])
        return Fraction(0)

    part = usage.token_parts.get
    inside = (
        *((f"token_parts.{name}", part(name, 0), ()) for name in INPUT_PARTS),
        *((f"token_parts.{name}", part(name, 0), (_READ,)) for name in READ_PARTS),
        *((f"token_parts.{name}", part(name, 0), (_WRITE,)) for name in WRITE_PARTS),
        (_READ, usage.tokens_cache_read - sum(part(n, 0) for n in READ_PARTS), ()),
        (_WRITE, usage.tokens_cache_write - sum(part(n, 0) for n in WRITE_PARTS), ()),
    )
    outside = (
        *((f"token_parts.{name}", part(name, 0), ()) for name in OUTPUT_PARTS),
        (_REASONING, usage.tokens_reasoning, ()),
    )
    sums = []
    for all_of_it, parts, name, count_name in (
        (usage.tokens_input, inside, _INPUT, "tokens_input"),
        (usage.tokens_output, outside, _OUTPUT, "tokens_output"),
    ):
        rest = all_of_it - sum(count for _, count, _ in parts)
        total = rest * whole(name)
        total += sum((n * whole(one, *of, name) for one, n, of in parts), Fraction(0))
        sums.append(total)
        free = rest if prices.get(name) is None else 0
        free += sum(
            n for one, n, of in parts if all(prices.get(x) is None for x in (one, *of, name))
        )
        if free:
            unpriced.add(count_name)

    factor = Fraction(1)
    factors = row.get("multipliers") or {}
    region = {match.region} if match and match.region in factors else set[str]()
    for name in usage.price_factors | region:
        known = factors.get(name)
        if known is None:
            unpriced.add(name)
        else:
            factor *= Fraction(known)
    cost_input, cost_output = (total * factor for total in sums)
    others, free_units = beside_tokens(row, usage)
    exact = cost_input + cost_output + others
    return Priced(
        exact,
        rounded(exact),
        rounded(cost_input),
        rounded(cost_output),
        match.model if match else row["model"],
        match.by if match else "exact",
        row.get("variant", "") == usage.price_variant,
        tier,
        frozenset(unpriced | free_units),
    )


def at_tier(row: Row, tokens_input: int) -> tuple[dict[str, Any], int | None]:
    """The token prices of a row, parts as ``token_parts.<part>``; and the bound that holds."""
    prices = token_prices(row)
    bound = None
    for tier in row.get("tiers") or ():
        if tier["above_input_tokens"] < tokens_input:
            bound = tier["above_input_tokens"]
            prices = token_prices(row) | token_prices(tier)  # the last one alone
    return prices, bound


def token_prices(of: Row) -> dict[str, Any]:
    """The token prices that a row or tier names."""
    named = {
        n: of[n] for n in (_INPUT, _OUTPUT, _READ, _WRITE, _REASONING) if of.get(n) is not None
    }
    return named | {f"token_parts.{n}": p for n, p in (of.get("token_parts") or {}).items()}


def beside_tokens(row: Row, usage: Usage) -> tuple[Fraction, set[str]]:
    """What a call costs beside its tokens, and what of it has no price."""
    total = Fraction(row.get("cost_per_request") or 0)
    unpriced: set[str] = set()
    said = {name: getattr(usage, name) for name in COUNTS}
    failed = usage.status_code is not None and usage.status_code >= 400
    other_unit = any(amount > 0 for amount in usage.units.values())
    for name, cost in COUNTS.items():
        each, count = row.get(cost), said[name]
        if each is None:
            if count:
                unpriced.add(name)
            continue
        others_sent = any(n is not None for other, n in said.items() if other != name)
        if count is None:
            count = 0 if failed or other_unit or others_sent else 1
        total += count * Fraction(each)
    for unit, amount in usage.units.items():
        each = (row.get("units") or {}).get(unit)
        if each is None:
            if amount > 0:
                unpriced.add(unit)
        elif isinstance(each, Mapping):
            total += Fraction(amount) * Fraction(each["usd"]) / Fraction(each["per"])
        else:
            total += Fraction(amount) * Fraction(each)
    return total, unpriced


def rounded(usd: Fraction) -> int:
    """1e-9 USD, half to even: Python rounds fractions so."""
    return round(usd * NANO)


_INPUT = "cost_per_input_token"
_OUTPUT = "cost_per_output_token"
_READ = "cost_per_cache_read_token"
_WRITE = "cost_per_cache_write_token"
_REASONING = "cost_per_reasoning_token"
