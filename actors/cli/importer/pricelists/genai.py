"""The prices of the package genai-prices: each provider, variant and date of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

from actors.cli.importer.pricelists.aliases import Aliases
from actors.cli.importer.pricelists.genai_dates import DatedPrices, Moments
from actors.cli.importer.pricelists.genai_match import add_aliases
from actors.cli.importer.pricelists.providers import described, provider_id
from actors.cli.importer.pricelists.rows import (
    MODEL_LENGTH_MAX,
    ListedPrice,
    PriceList,
    has_price,
)

_RULES: Final = "match rules tried on known names only"


def read_genai_prices(
    providers: Iterable[Any],
    today: date,
    since: date | None = None,
    names: Mapping[str, Iterable[str]] | None = None,
) -> PriceList:
    """The data of the package genai-prices: what is valid now, what will be, and what was.

    Args:
        providers: ``genai_prices.data.providers``.
        today: which of the dated prices are over.
        since: from which day on those that are over are wanted too; they are marked as past.
        names: names of models by our provider, on which match rules are tried.
    """
    found = PriceList()
    aliases = Aliases(found)
    seen: set[tuple[str, str]] = set()
    for provider in providers:
        ours = provider_id(str(provider.id))
        if ours is None:
            found.skip("no provider", str(provider.id))
            continue
        taken = [m for m in provider.models if _takes(found, seen, ours, m, today, since)]
        if not taken:
            continue
        known = (names or {}).get(ours, ())
        for model in add_aliases(ours, list(provider.models), aliases, known):
            found.left_out.append((ours, model, _RULES))
        if (one := described(ours, (), getattr(provider, "name", None))) is not None:
            found.providers.append(one)
    aliases.write()
    return found


def _takes(
    found: PriceList,
    seen: set[tuple[str, str]],
    provider: str,
    model: Any,
    today: date,
    since: date | None,
) -> bool:
    if not 1 <= len(model.id) <= MODEL_LENGTH_MAX:
        found.skip("a name that is empty or too long", str(model.id)[:80])
        return False
    if (provider, model.id) in seen:
        found.skip("another entry of the same model", f"{provider} {model.id}")
        return False
    seen.add((provider, model.id))
    listed = DatedPrices(found, provider, model)
    rows: list[ListedPrice] = []
    for variant, moments in listed.timelines().items():
        rows += _rows(provider, model.id, variant, moments, today, since)
    found.rows += rows
    if not rows:
        found.skip("no price", f"{provider} {model.id}")
    return bool(rows)


def _rows(
    provider: str,
    model: str,
    variant: str,
    moments: Moments,
    today: date,
    since: date | None,
) -> list[ListedPrice]:
    """What is in force, then what will be; with ``since`` also what was, the newest first."""
    begun = [one for one in moments if one[0] is None or one[0] <= today]
    future = [one for one in moments if one[0] is not None and one[0] > today]
    rows = []
    if since is not None:
        before = [one for one in begun if one[0] is None or one[0] <= since][-1:]
        between = [one for one in begun if one[0] is not None and one[0] > since]
        for start, fields in reversed([*((since, f) for _, f in before), *between]):
            rows.append(ListedPrice(provider, model, fields, variant, start, past=True))
    if begun:
        rows.append(ListedPrice(provider, model, begun[-1][1], variant))
    rows += [ListedPrice(provider, model, fields, variant, start) for start, fields in future]
    return [row for row in rows if has_price(row.fields)]
