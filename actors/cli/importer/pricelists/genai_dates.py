"""A model of genai-prices over time: its standard prices and its variants from each day on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from actors.cli.importer.pricelists.form import canonical
from actors.cli.importer.pricelists.genai_fields import fields_of_prices
from actors.cli.importer.pricelists.rows import PriceList

Given = dict[str, Any]
"""Prices by the package's names, or fields by ours."""
Moments = list[tuple[date | None, Given]]
"""What holds from each day on; None: from the beginning."""

_SPEED: Final = "speed"


@dataclass
class DatedPrices:
    """A model's dated prices and variants."""

    found: PriceList
    provider: str
    model: Any

    def timelines(self) -> dict[str, Moments]:
        """For each variant, the fields from each day on; None: from the beginning."""
        base = self._conditions()
        variants = self._variants()
        timelines = {"": self._collapsed(base, [])}
        fast: Moments = []
        for variant, (key, overrides) in variants.items():
            moments = self._since_any(self._collapsed(base, overrides), overrides)
            if moments == timelines[""]:
                continue  # the standard prices by another name
            timelines[variant] = moments
            if key == _SPEED:
                fast = moments
        if fast:
            timelines[""] = [
                (start, _with_factor(fields, _in_force(fast, start)))
                for start, fields in timelines[""]
            ]
        return timelines

    @staticmethod
    def _since_any(moments: Moments, overrides: list[tuple[date | None, Given]]) -> Moments:
        """The part of a variant's prices from the day on that it has any of its own."""
        begin = min((s or date.min for s, _ in overrides), default=date.min)
        if begin == date.min:
            return moments
        before = [fields for start, fields in moments if start is None or start <= begin]
        return [(begin, before[-1]), *((s, f) for s, f in moments if s and s > begin)]

    def _collapsed(
        self, base: list[tuple[date | None, Given]], overrides: list[tuple[date | None, Given]]
    ) -> Moments:
        """The fields at each day at which anything changes."""
        starts = {start for start, _ in (*base, *overrides) if start is not None}
        moments: Moments = []
        for start in (None, *sorted(starts)):
            prices = dict(_in_force(base, start))
            taken: set[str] = set()
            for begins, given in overrides:  # the first that has begun decides, price by price
                if begins is None or (start is not None and begins <= start):
                    prices |= {n: p for n, p in given.items() if n not in taken}
                    taken |= given.keys()
            fields = fields_of_prices(self.found, self.provider, self.model.id, prices)
            if not moments or canonical(moments[-1][1]) != canonical(fields):
                moments.append((start, fields))
        return moments

    def _conditions(self) -> list[tuple[date | None, Given]]:
        listed = self.model.prices
        if not isinstance(listed, list):
            return [(None, _given(listed))]
        found = [(self._start(one), _given(one.prices)) for one in listed]
        known = [(start, given) for start, given in found if start is not _NO_DATE]
        return known or [(None, {})]

    def _variants(self) -> dict[str, tuple[str, list[tuple[date | None, Given]]]]:
        """By name: what it is asked for with, and its overrides in their order."""
        variants: dict[str, tuple[str, list[tuple[date | None, Given]]]] = {}
        for one in getattr(self.model, "price_variants", None) or ():
            start = self._start(one)
            if len(one.when) != 1 or start is _NO_DATE:
                self._leave(f"variant {' '.join(f'{k}={v}' for k, v in one.when.items())}")
                continue
            ((key, value),) = one.when.items()
            name = str(value).rpartition("/")[2]
            kept = variants.setdefault(name, (key, []))
            if kept[0] != key:
                self._leave(f"variant {key}={value}")
                continue
            kept[1].append((start, _given(one.prices)))
        return variants

    def _start(self, one: Any) -> Any:
        constraint = getattr(one, "constraint", None)
        if constraint is None:
            return None
        start = getattr(constraint, "start_date", None)
        if start is None:
            self._leave(type(constraint).__name__)
            return _NO_DATE
        return start

    def _leave(self, what: str) -> None:
        self.found.left_out.append((self.provider, self.model.id, what))


_NO_DATE: Final = object()
"""The price depends on something else, such as the time of day."""


def _given(prices: Any) -> Given:
    return {n: p for n, p in vars(prices).items() if p is not None and not n.startswith("_")}


def _in_force(moments: Iterable[tuple[date | None, Given]], at: date | None) -> Given:
    """The last that has begun, else the first."""
    listed = list(moments)
    begun = [g for s, g in listed if s is None or (at is not None and s <= at)]
    return begun[-1] if begun else listed[0][1]


def _with_factor(fields: Given, fast: Given) -> Given:
    """The row with what its fast form costs as a factor too, if that is one factor exactly.

    A caller says how fast a call was as a variant or as a factor, as its provider's list does.
    """
    names = [n for n in fields if n.startswith("cost_per_") and n.endswith("_token")]
    ratios = {fast.get(name, 0) / fields[name] for name in names if fields[name]}
    ratios |= {
        fast.get("token_parts", {}).get(part, 0) / price
        for part, price in fields.get("token_parts", {}).items()
        if price
    }
    ratio = next(iter(ratios)) if len(ratios) == 1 else None
    if ratio is None or ratio != round(ratio, 4) or "tiers" in fields:
        return fields
    return {**fields, "multipliers": {"fast": round(ratio, 4).normalize()}}
