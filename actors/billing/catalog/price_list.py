"""All prices: that of a model at a moment, and the list of them page by page.

Nothing here goes through all prices, nor through all of a model: a price is put in its place and
found by bisection, a name by indexes, a page costs the rows that it shows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final

from actors.billing.catalog.model_names import fine_tuned, normalised, undated
from actors.billing.catalog.prices import DEFAULT, Price

_FEW: Final = 64
"""So many new prices are put in their places one by one; more are sorted in together."""
_STEP: Final = 2
"""Default rows that are made in one step."""
NEVER: Final = 2**200
"""After every moment; its negative is before every moment."""

EXACT: Final = "exact"
ALIAS: Final = "alias"
NORMALISED: Final = "normalised"
UNDATED: Final = "undated"
PROVIDER_DEFAULT: Final = "provider_default"


class Priced:
    """A price and how it was found.

    Attributes:
        price: the row.
        how: ``catalog``, ``provider_default`` or ``estimate``.
        matched_by: by which of the steps its model was found, None for an estimate.
        region: that the name of the model lost.
        since, until: the moments between which the same is found.
        refused: whether a call of that price is not to be admitted.
        rendered: a place for whoever shows it; empty until it is shown.
    """

    __slots__ = ("how", "matched_by", "price", "refused", "region", "rendered", "since", "until")

    def __init__(
        self,
        price: Price,
        how: str,
        matched_by: str | None = None,
        region: str | None = None,
        since: int = -NEVER,
        until: int = NEVER,
        *,
        refused: bool = False,
    ) -> None:
        self.price = price
        self.how = how
        self.matched_by = matched_by
        self.region = region
        self.since = since
        self.until = until
        self.refused = refused
        self.rendered = ""


class Series:
    """The prices of one variant of a model, by the moment from which each is valid.

    If two begin at one moment, the newer one counts.
    """

    __slots__ = ("_order", "_rows")

    def __init__(self) -> None:
        self._order: list[tuple[int, int]] = []  # from when, and the version
        self._rows: list[Price] = []

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Price]:
        return iter(self._rows)

    def put(self, row: Price) -> None:
        """Add a price."""
        place = (row.effective_from, row.version)
        index = bisect_right(self._order, place)
        self._order.insert(index, place)
        self._rows.insert(index, row)

    def take(self, effective_from: int) -> Price | None:
        """Take back the newest price from a moment, None if there is none."""
        index = bisect_left(self._order, (effective_from + 1, 0)) - 1
        if index < 0 or self._order[index][0] != effective_from:
            return None
        del self._order[index]
        return self._rows.pop(index)

    def at(self, moment: int) -> Price | None:
        """The price that is valid at a moment, None before the first."""
        index = bisect_left(self._order, (moment + 1, 0))
        return self._rows[index - 1] if index else None


class _Models:
    """The models of one provider: their prices, and by which other names they are found."""

    __slots__ = ("aliases", "moments", "names", "series")

    def __init__(self) -> None:
        self.series: dict[str, dict[str, Series]] = {}  # by model, then by variant
        self.aliases: dict[str, dict[str, None]] = {}  # models that have or had it
        self.names: dict[str, dict[str, None]] = {}  # models by their normalised name
        self.moments: list[int] = []  # at which a price begins

    def put(self, row: Price) -> Series:
        variants = self.series.get(row.model)
        if variants is None:
            variants = self.series[row.model] = {}
            self.names.setdefault(normalised(row.model, row.provider), {})[row.model] = None
        series = variants.get(row.variant)
        if series is None:
            series = variants[row.variant] = Series()
        series.put(row)
        for alias in row.aliases:
            self.aliases.setdefault(alias, {})[row.model] = None
        index = bisect_left(self.moments, row.effective_from)
        if index == len(self.moments) or self.moments[index] != row.effective_from:
            self.moments.insert(index, row.effective_from)
        return series

    def span(self, moment: int) -> tuple[int, int]:
        """The moments between which no price begins, around one."""
        index = bisect_right(self.moments, moment)
        since = self.moments[index - 1] if index else -NEVER
        return since, self.moments[index] if index < len(self.moments) else NEVER

    def own(self, model: str, variant: str, moment: int) -> Price | None:
        """The row of a model in force, of a variant if that has one."""
        variants = self.series.get(model)
        if variants is None:
            return None
        for name in (variant, "") if variant else ("",):
            series = variants.get(name)
            row = None if series is None else series.at(moment)
            if row is not None:
                return row
        return None

    def by_alias(self, name: str, variant: str, moment: int) -> Price | None:
        """The row of the model that has an alias in force."""
        for model in self.aliases.get(name, ()):
            plain = self.own(model, "", moment)
            if plain is not None and name in plain.aliases:
                return self.own(model, variant, moment)
        return None

    def by_name(self, name: str, variant: str, moment: int) -> Price | None:
        """The row of the one model in force that has a normalised name, None if several have."""
        rows = [self.own(model, variant, moment) for model in self.names.get(name, ())]
        found = [row for row in rows if row is not None]
        return found[0] if len(found) == 1 else None


_Place = tuple[Any, ...]
"""Provider, model, variant, from when, version, a number of its own (so no two are equal), the
price."""
_PRICE: Final = itemgetter(-1)


NO_DEFAULTS: Final[Mapping[str, Callable[[], Iterable[Price]]]] = {}


class PriceList:
    """All prices.

    Args:
        defaults: makes the rows that a provider has from the beginning. Most providers are never
            asked for, so their rows are made when they are.
    """

    def __init__(self, defaults: Mapping[str, Callable[[], Iterable[Price]]] = NO_DEFAULTS) -> None:
        self._defaults = {**defaults}  # of providers that nobody has asked for
        self._models: dict[str, _Models] = {}
        self._providers: list[str] = sorted(defaults)
        self._sorted: list[_Place] = []
        self._new: list[_Place] = []
        self._number = 0

    def put(self, row: Price) -> None:
        """Add a price."""
        models = self._of(row.provider)
        if models is None:
            models = self._models[row.provider] = _Models()
            insort(self._providers, row.provider)
        self._put(models, row)

    def _of(self, provider: str) -> _Models | None:
        """The models of a provider; its defaults are made when they are asked for first."""
        if provider in self._defaults:
            for _ in self._making(provider):
                pass
        return self._models.get(provider)

    def is_made(self, provider: str | None) -> bool:
        """Whether what a provider has from the beginning is made, or all of it."""
        return not self._defaults if provider is None else provider not in self._defaults

    def making(self, provider: str | None) -> Iterator[None]:
        """Make what a provider has from the beginning, or all of them, a few rows in each step.

        Whoever asks meanwhile has it made at once.
        """
        for name in list(self._defaults) if provider is None else [provider]:
            if name in self._defaults:
                yield from self._making(name)

    def _making(self, provider: str) -> Iterator[None]:
        models, places = _Models(), list[_Place]()
        for row in self._defaults[provider]():
            models.put(row)
            places.append(self._place(row))
            if len(places) % _STEP == 0:
                yield
        if self._defaults.pop(provider, None) is not None:  # else it was made meanwhile
            self._models[provider] = models
            self._new += places

    def _put(self, models: _Models, row: Price) -> None:
        models.put(row)
        self._new.append(self._place(row))

    def _place(self, row: Price) -> _Place:
        self._number += 1
        key = (row.provider, row.model, row.variant, row.effective_from, row.version)
        return (*key, self._number, row)

    def cancel(self, provider: str, model: str, variant: str, effective_from: int) -> None:
        """Take back the newest price of a variant from a moment, if there is one."""
        series = self._series(provider, model, variant)
        row = None if series is None else series.take(effective_from)
        if row is not None:
            self._sort()
            key = (provider, model, variant, effective_from, row.version)
            index = bisect_left(self._sorted, key)
            while self._sorted[index][-1] is not row:
                index += 1
            del self._sorted[index]

    def series(self, provider: str, model: str, variant: str = "") -> Iterable[Price]:
        """The prices of a variant of a model, by the moment from which each is valid."""
        return self._series(provider, model, variant) or ()

    def count(self, provider: str, model: str, variant: str = "") -> int:
        """How many prices a variant of a model has."""
        found = self._series(provider, model, variant)
        return 0 if found is None else len(found)

    def at(self, provider: str, model: str, moment: int, variant: str = "") -> Price | None:
        """The row of exactly this variant of a model that is in force, None if there is none."""
        found = self._series(provider, model, variant)
        return None if found is None else found.at(moment)

    def alias_owner(self, provider: str, name: str, moment: int) -> str | None:
        """The model that has an alias in force or to come, None if none has."""
        models = self._of(provider)
        for model in () if models is None else models.aliases.get(name, ()):
            for row in self._in_force_or_later(provider, model, moment):
                if name in row.aliases:
                    return model
        return None

    def find(self, provider: str, model: str, variant: str, moment: int) -> Priced | None:
        """The price of a model at a moment, by the steps of contract 1.1, section 4.

        None if neither the model nor a default of its provider has a row in force.
        """
        models = self._of(provider)
        if models is None:
            return None
        since, until = models.span(moment)
        for row, how, region in _steps(models, provider, model, variant, moment):
            if row is not None:
                return Priced(row, "catalog", how, region, since, until)
        row = models.own(DEFAULT, variant, moment)
        if row is None:
            return None
        return Priced(row, PROVIDER_DEFAULT, PROVIDER_DEFAULT, None, since, until)

    def span(self, provider: str, moment: int) -> tuple[int, int]:
        """The moments between which no price of a provider begins, around one."""
        models = self._of(provider)
        return (-NEVER, NEVER) if models is None else models.span(moment)

    def page(
        self, provider: str | None, model: str | None, start: int, most: int
    ) -> tuple[list[Price], bool]:
        """Prices by provider, model, variant and moment, and whether there are more behind them.

        Args:
            provider: whose prices; None: all.
            model: of this model only; None: of all.
            start: how many to leave out.
            most: how many to show.
        """
        for name in self._providers if provider is None else [provider]:
            self._of(name)
        self._sort()
        found: list[Price] = []
        for low, high in self._ranges(provider, model):
            behind = low + start
            start = max(start - (high - low), 0)
            shown = self._sorted[behind : min(high, behind + most + 1 - len(found))]
            found += map(_PRICE, shown)
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

    def _series(self, provider: str, model: str, variant: str) -> Series | None:
        models = self._of(provider)
        variants = None if models is None else models.series.get(model)
        return None if variants is None else variants.get(variant)

    def _in_force_or_later(self, provider: str, model: str, moment: int) -> list[Price]:
        rows = list(self.series(provider, model))
        now = self.at(provider, model, moment)
        return rows if now is None else rows[rows.index(now) :]

    def _sort(self) -> None:
        if len(self._new) > _FEW:
            self._sorted += self._new
            self._sorted.sort()
        else:
            for place in self._new:
                insort(self._sorted, place)
        self._new.clear()


def _steps(
    models: _Models, provider: str, model: str, variant: str, moment: int
) -> Iterator[tuple[Price | None, str, str | None]]:
    """What each step finds, in order: the row, the step, the region that the name lost."""
    yield models.own(model, variant, moment), EXACT, None
    yield models.by_alias(model, variant, moment), ALIAS, None
    name = normalised(model, provider)
    yield models.by_name(name, variant, moment), NORMALISED, None
    base = fine_tuned(name)
    if base is not None:
        yield models.own(base, variant, moment), UNDATED, None
        yield models.by_alias(base, variant, moment), UNDATED, None
        yield models.by_name(base, variant, moment), UNDATED, None
    left = undated(base or name, provider)
    if left is not None:
        yield models.by_name(left.name, variant, moment), UNDATED, left.region
