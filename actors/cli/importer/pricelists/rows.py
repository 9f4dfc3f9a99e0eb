"""What a price list comes to: rows, the providers that they need, and what was not taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

from messages.dimensions import DIMENSIONS

PRICES: Final = tuple(dimension.cost_field for dimension in DIMENSIONS)
GROUPS: Final = ("token_parts", "units", "tiers")
"""Fields of a row that hold prices by name, beside `PRICES`."""
ALIASES_MAX: Final = 64
TIERS_MAX: Final = 4
MODEL_LENGTH_MAX: Final = 256
EXAMPLES: Final = 3
_SHOWN_LENGTH: Final = 120

Key = tuple[str, str, str]
"""What a row is found by: provider, model, variant."""


@dataclass(frozen=True)
class ListedPrice:
    """A row as `catalog.prices.put` takes it.

    Attributes:
        fields: the prices, ``token_parts``, ``tiers``, ``units``, ``multipliers`` and ``aliases``,
            by their names on the wire; all that is absent is not in it.
        since: the day from whose first instant on it holds; None: from now on.
        past: it is over, or its beginning lies in the past; it fills a gap and replaces nothing.
    """

    provider: str
    model: str
    fields: dict[str, Any]
    variant: str = ""
    since: date | None = None
    past: bool = False

    @property
    def key(self) -> Key:
        """What it is found by."""
        return (self.provider, self.model, self.variant)

    def body(self) -> dict[str, Any]:
        """The body of a `catalog.prices.put`, without its ``event_id``."""
        body: dict[str, Any] = {"provider": self.provider, "model": self.model}
        if self.variant:
            body["variant"] = self.variant
        body |= self.fields
        if self.since is not None:
            body["effective_from"] = midnight(self.since)
        return body


@dataclass(frozen=True)
class ListedProvider:
    """A provider as `catalog.providers.put` takes it."""

    id: str
    name: str
    kind: str
    aliases: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """The body of a `catalog.providers.put`, without its ``event_id``."""
        body: dict[str, Any] = {"id": self.id, "name": self.name, "kind": self.kind}
        if self.aliases:
            body["aliases"] = list(self.aliases)
        return body


@dataclass
class PriceList:
    """What a list came to.

    Attributes:
        rows: the prices, those of a provider and model beside each other.
        providers: whom the rows are of, each once.
        left_out: what bears a price and cannot be said: (provider, model, what).
        cleaned: prices whose float noise was cut off: (provider, model, field).
        skipped: entries of which nothing was taken, by why: how many.
        skipped_names: a few names for each of those reasons.
    """

    rows: list[ListedPrice] = field(default_factory=list)
    providers: list[ListedProvider] = field(default_factory=list)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    cleaned: list[tuple[str, str, str]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    skipped_names: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, why: str, name: str) -> None:
        """Nothing of an entry is taken."""
        self.skipped[why] += 1
        names = self.skipped_names.setdefault(why, [])
        if len(names) < EXAMPLES:
            names.append(shown(name))

    def only(self, providers: Iterable[str]) -> PriceList:
        """The same list with nothing but these providers."""
        wanted = set(providers)
        return PriceList(
            [row for row in self.rows if row.provider in wanted],
            [one for one in self.providers if one.id in wanted],
            [one for one in self.left_out if one[0] in wanted],
            [one for one in self.cleaned if one[0] in wanted],
            self.skipped,
            self.skipped_names,
        )


def grouped(found: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, Any]]:
    """What was found, by its last part: how often, and a few of the models; most often first."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for provider, model, listed in found:
        what = shown(listed)
        counts[what] += 1
        some = examples.setdefault(what, [])
        if len(some) < EXAMPLES:
            some.append(shown(f"{provider} {model}".strip()))
    return {
        what: {"count": count, "examples": examples[what]} for what, count in counts.most_common()
    }


def shown(text: str) -> str:
    """A text of a list as a report can have it, whatever is in it."""
    return text[:_SHOWN_LENGTH].encode(errors="replace").decode() or "(empty)"


def has_price(fields: Mapping[str, Any]) -> bool:
    """Whether a row says what anything costs; without that it is no row."""
    return any(name in fields for name in PRICES) or any(fields.get(name) for name in GROUPS)


def midnight(day: date) -> datetime:
    """The first instant of a day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
