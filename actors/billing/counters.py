"""The counters of a period in one block of memory.

A live user is little but counters, and 100,000 of them are live at once. As Python's own
integers, tuples and dicts they took 1.6 KB each, in an array of 64-bit integers they take a
third of that. So a period has one array: the slots of `limits` in front, then three numbers
(calls, tokens, cost) for each name of an actual provider or a model. Which name has which place
is a `Layout`, one object for all periods that count the same names.

Nothing is lost where a number does not fit into 64 bits: the array becomes a list, whose numbers
have no end, and reads the same.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from actors.billing.layout import PAIR, Layout
from actors.billing.limits.limits import SLOTS
from messages.stored.events import Counters

NAMES_MAX: Final = 100
"""Names of models and actual providers that a period counts apart."""
OTHER: Final = "other"
NUMBER_MAX: Final = 2**64 - 1
"""The largest number that an array holds. It has no sign: no counter falls below 0, and to set
one takes two thirds as long as with a sign."""
STEPS_KEPT: Final = 256
"""Steps from one layout to the next that are known, each with the layout that it leads to."""
Slots: TypeAlias = "array[int] | list[int]"
"""Counters by slot: a list where one of them does not fit into an array, else an array."""

_ZEROS: Final = bytes(8 * SLOTS)
_ZEROS_OF_PAIR: Final = bytes(8 * PAIR)


# A layout is here as long as a period has it, or one of the newest steps leads to it.
_layouts: Final[WeakValueDictionary[tuple[tuple[str, ...], tuple[str, ...]], Layout]] = (
    WeakValueDictionary()
)


def layout_of(actual: Iterable[str], models: Iterable[str]) -> Layout:
    """The one layout of these names."""
    names = (tuple(actual), tuple(models))
    layout = _layouts.get(names)
    if layout is None:
        # One string for all who use a name: what is decoded has strings of its own.
        layout = _layouts[names] = Layout(
            {sys.intern(name): SLOTS + PAIR * place for place, name in enumerate(names[0])},
            {sys.intern(name): SLOTS + PAIR * place + 3 for place, name in enumerate(names[1])},
        )
    return layout


NO_NAMES: Final = layout_of((), ())


def zeros() -> Slots:
    """The counters of a period in which nothing was counted."""
    return array("Q", _ZEROS)


def slots_of(numbers: list[int]) -> Slots:
    """These numbers in as little memory as holds them."""
    try:
        return array("Q", numbers)
    except OverflowError:
        return numbers


def grown(used: Slots, layout: Layout) -> Slots:
    """The counters with room for all names of a layout."""
    missing = (layout.size - len(used)) // PAIR
    if isinstance(used, list):
        return used + [0] * (PAIR * missing)
    return used + array("Q", _ZEROS_OF_PAIR * missing)


# Users come to the same names in the same few orders, and each who is replayed comes to them anew.
@lru_cache(maxsize=STEPS_KEPT)
def with_names(layout: Layout, actual: str, model: str) -> tuple[Layout, str, str]:
    """The layout that has room for a call, and under which names the call is counted."""
    actual, model = _counted_as(layout.actual, actual), _counted_as(layout.models, model)
    if actual not in layout.actual or model not in layout.models:
        names = dict.fromkeys((*layout.actual, actual)), dict.fromkeys((*layout.models, model))
        layout = layout_of(*names)
    return layout, actual, model


def _counted_as(places: Mapping[str, int], name: str) -> str:
    """The name itself; one place is kept for all that does not fit by name."""
    return name if name in places or len(places) < NAMES_MAX else OTHER


def by_name(used: Slots, places: Mapping[str, int]) -> dict[str, Counters]:
    """Calls, tokens and cost of each name."""
    return {name: (used[at], used[at + 1], used[at + 2]) for name, at in places.items()}


def named(
    numbers: list[int], actual: Mapping[str, Counters], models: Mapping[str, Counters]
) -> tuple[Slots, Layout]:
    """Counters by slot and by name as those of a period."""
    layout = layout_of(actual, models)
    numbers = numbers + [0] * (layout.size - len(numbers))
    for counts, places in ((actual, layout.actual), (models, layout.models)):
        for name, at in places.items():
            numbers[at : at + 3] = counts[name]
    return slots_of(numbers), layout
