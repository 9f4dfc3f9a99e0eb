"""All prices: that of a model at a moment, and the list of them page by page.

Nothing here goes through all prices, nor through all of a model: a price is put in its place and
found by bisection, a page costs the rows that it shows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from typing import Any, Final

from actors.billing.catalog.prices import Price

DEFAULT: Final = "default"
"""The model whose price holds for the models of its provider without a price."""
_FEW: Final = 64
"""So many new prices are put in their places one by one; more are sorted in together."""


@dataclass(frozen=True, slots=True)
class Priced:
    """A price and how it was found: ``catalog``, ``provider_default`` or ``estimate``."""

    price: Price
    how: str


class Series:
    """The prices of one model, by the moment from which each is valid.

    If two begin at one moment, the newer one counts.
    """

    __slots__ = ("_how", "_order", "_rows")

    def __init__(self, how: str) -> None:
        self._how = how
        self._order: list[tuple[int, int]] = []  # from when, and the version
        self._rows: list[Priced] = []

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, row: Price) -> None:
        """Add a price."""
        place = (row.effective_from, row.version)
        index = bisect_right(self._order, place)
        self._order.insert(index, place)
        self._rows.insert(index, Priced(row, self._how))

    @property
    def newest(self) -> Priced:
        """The price with the latest moment, which may be to come."""
        return self._rows[-1]

    def at(self, moment: int) -> Priced | None:
        """The price that is valid at a moment, None before the first."""
        index = bisect_left(self._order, (moment + 1, 0))
        return self._rows[index - 1] if index else None


_Place = tuple[Any, ...]
"""Provider, model, from when, version, a number of its own (so no two are equal), the price."""


class PriceList:
    """All prices."""

    def __init__(self) -> None:
        self._own: dict[tuple[str, str], Series] = {}
        self._defaults: dict[str, Series] = {}
        self._providers: list[str] = []
        self._sorted: list[_Place] = []
        self._new: list[_Place] = []  # not sorted in yet: nobody has asked for the list since

    def put(self, row: Price) -> None:
        """Add a price."""
        self._series(row.provider, row.model).put(row)
        if row.model == DEFAULT:
            defaults = self._defaults.get(row.provider)
            if defaults is None:
                defaults = self._defaults[row.provider] = Series("provider_default")
            defaults.put(row)
        number = len(self._sorted) + len(self._new)
        place = (row.provider, row.model, row.effective_from, row.version, number, row)
        self._new.append(place)

    def count(self, provider: str, model: str) -> int:
        """How many prices a model has."""
        found = self._own.get((provider, model))
        return 0 if found is None else len(found)

    def newest(self, provider: str, model: str) -> Priced | None:
        """The latest price of a model, or of its provider's default one if it has none."""
        found = self._own.get((provider, model)) or self._defaults.get(provider)
        return None if found is None else found.newest

    def at(self, provider: str, model: str, moment: int) -> Priced | None:
        """The price of a model at a moment: its own row, else its provider's default one."""
        own, defaults = self._own.get((provider, model)), self._defaults.get(provider)
        found = None if own is None else own.at(moment)
        if found is None and defaults is not None:
            found = defaults.at(moment)
        return found

    def page(
        self, provider: str | None, model: str | None, start: int, most: int
    ) -> tuple[list[Price], bool]:
        """Prices by provider, model and moment, and whether there are more behind them.

        Args:
            provider: whose prices; None: all.
            model: of this model only; None: of all.
            start: how many to leave out.
            most: how many to show.
        """
        self._sort()
        found: list[Price] = []
        for low, high in self._ranges(provider, model):
            behind = low + start
            start = max(start - (high - low), 0)
            shown = self._sorted[behind : min(high, behind + most + 1 - len(found))]
            found += [place[-1] for place in shown]
            if len(found) > most:
                return found[:most], True
        return found, False

    def _ranges(self, provider: str | None, model: str | None) -> list[tuple[int, int]]:
        """Where the prices of a provider and a model are in the list."""
        if provider is None and model is None:
            return [(0, len(self._sorted))]
        found: list[tuple[int, int]] = []
        for name in self._providers if provider is None else [provider]:
            # No text is between one and the same with a zero behind it.
            first = (name,) if model is None else (name, model)
            behind = (name + "\0",) if model is None else (name, model + "\0")
            found.append((bisect_left(self._sorted, first), bisect_left(self._sorted, behind)))
        return found

    def _series(self, provider: str, model: str) -> Series:
        key = (provider, model)
        found = self._own.get(key)
        if found is None:
            found = self._own[key] = Series("catalog")
            if provider not in self._providers:
                insort(self._providers, provider)
        return found

    def _sort(self) -> None:
        if len(self._new) > _FEW:
            self._sorted += self._new
            self._sorted.sort()
        else:
            for place in self._new:
                insort(self._sorted, place)
        self._new.clear()
