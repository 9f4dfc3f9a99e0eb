"""What few periods count beside the rest: units, estimates, and calls that lacked a price.

A call that says nothing of these pays for one look at its event. Contract 1.1, sections 2 and 4.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from actors.billing.counters.layout import Layout
from actors.billing.counters.layouts import OTHER
from actors.billing.counters.slots import shown_as
from messages.stored.events import Counters, UsageRecorded
from messages.stored.tally import TallyTotals

Amounts = dict[str, int]
"""Nano-units by unit."""
PAIRS_MAX: Final = 1_000
"""Pairs of a name and a unit that a breakdown counts apart: with the longest names and numbers all
three take a quarter of what a message may hold."""


@dataclass(slots=True)
class Parts:
    """Amounts by name and unit.

    Attributes:
        pairs: how many numbers that is. Beyond `PAIRS_MAX`, what is new counts under `OTHER`.
    """

    by_name: dict[str, Amounts] = field(default_factory=dict)
    pairs: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.pairs = sum([len(amounts) for amounts in self.by_name.values()])

    def add(self, name: str, unit: str, nano: int) -> None:
        """Add an amount."""
        amounts = self.by_name.get(name)
        if amounts is None or unit not in amounts:
            if self.pairs >= PAIRS_MAX:
                name = OTHER
            amounts = self.by_name.setdefault(sys.intern(name), {})
            if unit not in amounts:
                amounts[sys.intern(unit)] = 0
                self.pairs += 1
        amounts[unit] += nano

    def stored(self) -> dict[str, Amounts]:
        """The amounts, as a copy."""
        return _copies(self.by_name)


@dataclass(slots=True)
class Tally:
    """As `TallyTotals`, to be counted in."""

    providers: Parts = field(default_factory=Parts)
    actual: Parts = field(default_factory=Parts)
    models: Parts = field(default_factory=Parts)
    earlier: Amounts = field(default_factory=dict)
    estimated: Counters = (0, 0, 0)
    unpriced_calls: int = 0

    @property
    def units(self) -> Amounts:
        """What was counted since the last reset."""
        return _sum(self.providers.by_name.values())

    @property
    def logged(self) -> Amounts:
        """What was counted over all resets."""
        return _sum([self.earlier, *self.providers.by_name.values()])

    @property
    def entries(self) -> int:
        """How many numbers of units it has: what it weighs by."""
        return self.providers.pairs + self.actual.pairs + self.models.pairs + len(self.earlier)

    def count(self, event: UsageRecorded, tokens: int, layout: Layout) -> bool:
        """Count a call; whether that has a unit and a name for which there was no number."""
        if event.priced == "estimate":
            calls, others, cost = self.estimated
            self.estimated = (calls + 1, others + tokens, cost + event.cost_nano)
        detail = event.detail
        if detail is None:
            return False
        if detail.unpriced:
            self.unpriced_calls += 1
        if not detail.units:
            return False
        # Under the names under which a summary has the call.
        provider = shown_as(event.provider, layout)
        actual = event.actual if event.actual in layout.actual else OTHER
        model = event.model if event.model in layout.models else OTHER
        before = self.entries
        for unit, nano in detail.units.items():
            self.providers.add(provider, unit, nano)
            self.actual.add(actual, unit, nano)
            self.models.add(model, unit, nano)
        return self.entries != before

    def stored(self) -> TallyTotals:
        """What it counted, in the form in which it is kept."""
        return TallyTotals(
            providers=self.providers.stored(),
            actual_providers=self.actual.stored(),
            models=self.models.stored(),
            earlier=dict(self.earlier),
            estimated=self.estimated,
            unpriced_calls=self.unpriced_calls,
        )


NO_TALLY: Final = Tally()
"""What a period without one shows; nothing counts in it."""


def says_something(event: UsageRecorded) -> bool:
    """Whether a call that has a detail, or is an estimate, has anything to tally."""
    detail = event.detail
    return event.priced == "estimate" or (
        detail is not None and bool(detail.units or detail.unpriced)
    )


def tally_of(totals: TallyTotals | None) -> Tally | None:
    """A tally that goes on from what was kept."""
    if totals is None:
        return None
    return Tally(
        providers=Parts(_copies(totals.providers)),
        actual=Parts(_copies(totals.actual_providers)),
        models=Parts(_copies(totals.models)),
        earlier=dict(totals.earlier),
        estimated=totals.estimated,
        unpriced_calls=totals.unpriced_calls,
    )


def after_reset(tally: Tally | None) -> Tally | None:
    """What is left of a tally when its period's counters start again."""
    if tally is None:
        return None
    logged = tally.logged
    return Tally(earlier=logged) if logged else None


def _copies(parts: Mapping[str, Amounts]) -> dict[str, Amounts]:
    return {name: dict(amounts) for name, amounts in parts.items()}


def _sum(parts: Iterable[Amounts]) -> Amounts:
    found: Amounts = {}
    for amounts in parts:
        for unit, nano in amounts.items():
            found[unit] = found.get(unit, 0) + nano
    return dict(sorted(found.items()))
