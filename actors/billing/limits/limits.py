"""Limits: which counters a call touches under a plan, precomputed per plan.

Usage is counted in flat slots (`counters.slots`). A limit is a bound on one of them. Rules:
contract, section 5, "Limits".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Final

from actors.billing.catalog.catalog import (
    BY_WAVESPEED,
    FREE_TIER,
    TEXT_CALLS,
    WAVESPEED_CALLS,
    Touch,
    is_cost,
)
from actors.billing.catalog.providers import TEXT_PROVIDERS, WAVESPEED
from actors.billing.counters.layout import Layout
from actors.billing.counters.layouts import UNITS
from actors.billing.counters.slots import (
    CALLS,
    COST,
    ELSEWHERE,
    Slots,
    read,
    slot_of,
    slots_of_call,
)
from actors.billing.limits.windows import BILLING_PERIOD, Window
from messages.stored.catalog import PlanTerms
from messages.units import usd

HARD: Final = "hard"
SOFT: Final = "soft"
THRESHOLDS: Final = (80, 90, 100)
"""Percentages of a limit at which it warns."""
TABLES_MAX: Final = 1_024
"""Distinct terms whose limits are known, beside those of live periods: 4 KB each."""


@dataclass(slots=True)
class Limit:
    """A bound on one slot.

    Attributes:
        name: as plans call it.
        slot: the counter that it bounds, `counters.slots.ELSEWHERE` if only a layout knows it.
        unit: CALLS, TOKENS or COST.
        value: the bound, in nano-USD for COST.
        warns_at: the usage from which a threshold is reached.
        hard: whether it refuses; soft limits only warn.
        disabled: no such call is allowed (a 0 of a free plan or of an override).
        provider: whose calls it counts, None if it counts cost or a group.
        counted: whose calls or cost it counts, empty if it counts what spans providers.
        window: over which it counts.
        rendered: a place for whoever shows limits; empty until this one is shown.
    """

    name: str
    slot: int
    unit: int
    value: int
    warns_at: int
    hard: bool
    disabled: bool
    provider: str | None
    counted: str
    window: Window = BILLING_PERIOD
    rendered: str = field(default="", compare=False, repr=False)

    @property
    def kind(self) -> str:
        """Hard or soft."""
        return HARD if self.hard else SOFT

    def of(self, slots: Slots | list[int] | tuple[int, ...], layout: Layout) -> int:
        """The amount in its slot, 0 if its provider has none."""
        return read(slots, layout, self.slot, self.unit, self.counted)


Watched = tuple[int, int, int, Limit]
"""Slot, unit and the usage from which a limit's next threshold is reached, and the limit."""


TOUCHES_MAX: Final = 256
"""Touches that a table knows at once: a caller may name any provider."""


def make_room(known: dict[Touch, Any]) -> None:
    """Forget what is known of touches if that is `TOUCHES_MAX` of them."""
    if len(known) >= TOUCHES_MAX:
        known.clear()  # an order of use would cost every call more than this


class LimitTable:
    """The limits of a plan by what touches them.

    Attributes:
        terms: those of the plan.
        limits: every limit in force, disabled ones too; an unlimited one is not in force.
        by_name: the same by name.
    """

    def __init__(self, terms: PlanTerms) -> None:
        self.terms = terms
        values = dict(terms.limits)
        self._grouped = values.get(TEXT_CALLS, 0) > 0
        self._free = terms.tier == FREE_TIER
        self._overridden = frozenset(terms.overridden or ())
        found = (self._limit(name, value) for name, value in terms.limits)
        self.limits = tuple(limit for limit in found if limit is not None)
        self.by_name = {limit.name: limit for limit in self.limits}
        # Made when first asked for: of all providers they take four times the rest, and a user
        # with limits of their own, who has a table of their own, calls a few.
        self._touched: dict[Touch, tuple[Limit, ...]] = {}
        self._watched: dict[Touch, tuple[Watched, ...]] = {}

    def touched(self, touch: Touch) -> tuple[Limit, ...]:
        """The limits that a call counts against."""
        found = self._touched.get(touch)
        if found is None:
            make_room(self._touched)
            found = self._touched[touch] = self._touching(touch)
        return found

    def watched(self, touch: Touch) -> tuple[Watched, ...]:
        """Those of `touched` that can warn."""
        found = self._watched.get(touch)
        if found is None:
            make_room(self._watched)
            found = self._watched[touch] = tuple(
                [(x.slot, x.unit, x.warns_at, x) for x in self.touched(touch) if not x.disabled]
            )
        return found

    def _limit(self, name: str, value: int) -> Limit | None:
        overridden = name in self._overridden
        if value == 0 and not self._free and not overridden:
            return None
        found = slot_of(name)
        if found is None:
            return None
        slot, unit, provider = found
        disabled = value == 0
        grouped = self._grouped and unit == CALLS and provider in TEXT_PROVIDERS
        soft = grouped and not disabled and not overridden
        of_one = provider if provider and not is_cost(name) else None
        warns_at = -(-value * THRESHOLDS[0] // 100)
        return Limit(name, slot, unit, value, warns_at, not soft, disabled, of_one, provider)

    def _touching(self, touch: Touch) -> tuple[Limit, ...]:
        slots, (provider, flags) = slots_of_call(touch), touch

        def touches(limit: Limit) -> bool:
            if limit.name == WAVESPEED_CALLS:
                # Disabled, it refuses its own provider only.
                return provider == WAVESPEED or (flags & BY_WAVESPEED != 0 and not limit.disabled)
            return limit.slot in slots or (limit.slot == ELSEWHERE and limit.counted == provider)

        return tuple(sorted(filter(touches, self.limits), key=lambda limit: limit.unit))


def still_armed(watched: tuple[Watched, ...], levels: Mapping[str, int]) -> tuple[Watched, ...]:
    """Those that can still cross a threshold, each with its next one."""
    found = []
    for slot, unit, _, limit in watched:
        level = levels.get(limit.name, 0)
        if level < THRESHOLDS[-1]:
            following = next(threshold for threshold in THRESHOLDS if threshold > level)
            found.append((slot, unit, -(-limit.value * following // 100), limit))
    return tuple(found)


@cache
def unit_of(name: str) -> int:
    """The unit of a limit's name: CALLS, TOKENS or COST."""
    return UNITS.index(name.rpartition("_")[2])


def changed_limits(before: LimitTable, after: LimitTable) -> list[str]:
    """The limits whose value differs, also those that only one of the two has."""
    old, new = before.by_name, after.by_name
    return [
        name
        for name in {**old, **new}
        if name not in old
        or name not in new
        or (old[name].value, old[name].disabled) != (new[name].value, new[name].disabled)
    ]


@lru_cache(maxsize=TABLES_MAX)
def table_of(terms: PlanTerms) -> LimitTable:
    """The limits of a plan's terms, computed once per distinct terms."""
    return LimitTable(terms)


def shown(amount: int, unit: int) -> int | Decimal:
    """An amount of a unit as replies show it: counts as they are, money in USD."""
    return usd(amount) if unit == COST else amount


def percentage(used: int, value: int) -> float:
    """Used x 100 / limit with 4 decimals, for display only."""
    return share_of(used, value) / 10_000


def share_of(used: int, value: int) -> int:
    """Used x 100 / limit in units of 1e-4 percent, for display only."""
    return (used * 2_000_000 + value) // (2 * value)
