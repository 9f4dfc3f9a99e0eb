"""The counters of a period in one block of memory: the only module that knows a slot.

A live user is little but counters, and 100,000 of them are live at once. As Python's own
integers, tuples and dicts they took 1.6 KB each, in an array of 64-bit integers they take a
third of that. So a period has one array of slots: calls, tokens and cost of each provider of the
contract, three sums that span providers, and then the same three numbers for each name of an
actual provider or a model. Which name has which place is a `Layout`, one object for all periods
that count the same names.

Nothing is lost when a number does not fit into 64 bits: the array becomes a list, whose numbers
have no end, and reads the same.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from actors.billing.catalog.catalog import MONTHLY_COST, TEXT_CALLS, WAVESPEED_CALLS
from actors.billing.catalog.providers import NAMES, TEXT_PROVIDERS, WAVESPEED
from actors.billing.counters.layout import Layout
from messages.stored.events import (
    Counters,
)

CALLS: Final = 0
TOKENS: Final = 1
COST: Final = 2
UNITS: Final = ("calls", "tokens", "cost")
"""What is counted, cost in nano-USD; `Counters` and all amounts have this order."""
NAMES_MAX: Final = 100
"""Names of models and actual providers that a period counts apart."""
OTHER: Final = "other"
NUMBER_MAX: Final = 2**64 - 1
"""The largest number that an array holds. It has no sign: no counter falls below 0, and to set
one takes two thirds as long as with a sign."""
STEPS_KEPT: Final = 256
"""Steps from one layout to the next that are known, each with the layout that it leads to."""
STEP_CHARACTERS_MAX: Final = 128
"""Of the names of such a step: longer ones are not kept for others."""
ENTRY_BYTES: Final = 100
"""What a name in a layout takes beside its text."""
TEXT_BYTES: Final = 50
"""What a text takes beside its characters."""
Slots: TypeAlias = "array[int] | list[int]"
"""Counters by slot: a list if one of them does not fit into an array, else an array."""

_FIRST: Final = {name: len(UNITS) * place for place, name in enumerate(NAMES)}
_PROVIDERS: Final = len(UNITS) * len(NAMES)
_TEXT: Final = _PROVIDERS
_WAVESPEED: Final = _PROVIDERS + 1
_TOTAL: Final = _PROVIDERS + 2
_SLOTS: Final = _PROVIDERS + 3
_PAIR: Final = 6
"""Numbers of one actual provider and one model: their places alternate, so that those of a
name do not depend on how many names of the other kind there are."""
_SPANNING: Final = {
    TEXT_CALLS: (_TEXT, CALLS),
    WAVESPEED_CALLS: (_WAVESPEED, CALLS),
    MONTHLY_COST: (_TOTAL, COST),
}
_OF_TEXT: Final = frozenset(_FIRST[name] for name in TEXT_PROVIDERS)
_ZEROS: Final = bytes(8 * _SLOTS)
_ZEROS_OF_PAIR: Final = bytes(8 * _PAIR)
NONE_HELD: Final = (0,) * _SLOTS
"""What is held, by slot, by a user without holds."""


def slot_of(limit: str) -> tuple[int, int] | None:
    """The slot that a limit of this name bounds, and its unit; None for an unknown name."""
    if limit in _SPANNING:
        return _SPANNING[limit]
    provider, _, unit_name = limit.rpartition("_")
    if provider not in _FIRST or unit_name not in UNITS:
        return None
    unit = UNITS.index(unit_name)
    return _FIRST[provider] + unit, unit


def slots_of_call(provider: str) -> frozenset[int]:
    """The slots in which every call of a provider counts; wavespeed's own calls are not here."""
    first = _FIRST[provider]
    text = {_TEXT} if first in _OF_TEXT else set()
    return frozenset({*range(first, first + len(UNITS)), _TOTAL, *text})


def add(slots: list[int], provider: str, actual: str, amounts: Counters) -> None:
    """Add a call's calls, tokens and cost to all slots in which it counts, without its names."""
    calls, tokens, cost = amounts
    slot = _FIRST[provider]
    slots[slot] += calls
    slots[slot + 1] += tokens
    slots[slot + 2] += cost
    slots[_TOTAL] += cost
    if slot in _OF_TEXT:
        slots[_TEXT] += calls
    if WAVESPEED in (provider, actual):
        slots[_WAVESPEED] += calls


def count(
    used: Slots, provider: str, actual: str, places: tuple[int, int], tokens: int, cost: int
) -> Slots:
    """Count one call that was made, also by name; the counters, a list if one has outgrown 64 bits.

    As `add`, written out, and once more by name: every call waits for this.

    Args:
        used: the counters, which are changed.
        provider: the canonical provider.
        actual: who served the call.
        places: the slots of the calls of its actual provider and of its model.
        tokens: how many.
        cost: in nano-USD.
    """
    of_actual, of_model = places
    slot = _FIRST[provider]
    total, first = used[_TOTAL] + cost, used[slot + 1] + tokens
    second, third = used[of_actual + 1] + tokens, used[of_model + 1] + tokens
    try:
        used[_TOTAL] = total
        used[slot + 1] = first
        used[of_actual + 1] = second
        used[of_model + 1] = third
    except OverflowError:  # some of them are set: all are set again
        used = list(used)
        used[_TOTAL] = total
        used[slot + 1] = first
        used[of_actual + 1] = second
        used[of_model + 1] = third
    # None of these is larger than those: there is no cost over the total.
    used[slot] += 1
    used[slot + 2] += cost
    if slot in _OF_TEXT:
        used[_TEXT] += 1
    if WAVESPEED in (actual, provider):
        used[_WAVESPEED] += 1
    used[of_actual] += 1
    used[of_actual + 2] += cost
    used[of_model] += 1
    used[of_model + 2] += cost
    return used


def of_providers(used: Slots) -> dict[str, Counters]:
    """Calls, tokens and cost of every provider of the contract."""
    return by_name(used, _FIRST)


def used_providers(used: Slots) -> dict[str, Counters]:
    """Calls, tokens and cost of the providers with any use."""
    return {name: counts for name, counts in of_providers(used).items() if any(counts)}


def totals(used: Slots | tuple[int, ...]) -> Counters:
    """Calls, tokens and cost over all providers."""
    return (
        sum(used[CALLS:_PROVIDERS:3]),
        sum(used[TOKENS:_PROVIDERS:3]),
        sum(used[COST:_PROVIDERS:3]),
    )


def total_cost(used: Slots) -> int:
    """The cost over all providers, in nano-USD."""
    return used[_TOTAL]


def wavespeed_calls(used: Slots) -> int:
    """Calls whose provider or actual provider is wavespeed."""
    return used[_WAVESPEED]


def providers_only(used: Slots, earlier: Slots | None) -> Slots:
    """The slots of the providers alone, with those of ``earlier`` (the same) added."""
    used = used[:_PROVIDERS]
    if earlier is None:
        return used
    return [before + now for before, now in zip(earlier, used, strict=True)]


def zeros() -> Slots:
    """The counters of a period in which nothing was counted."""
    return array("Q", _ZEROS)


def no_amounts() -> list[int]:
    """What is held, by slot, before anything is."""
    return [0] * _SLOTS


def slots_of(numbers: list[int]) -> Slots:
    """These numbers in as little memory as holds them."""
    try:
        return array("Q", numbers)
    except OverflowError:
        return numbers


def restored(
    providers: Mapping[str, Counters],
    wavespeed: int,
    actual: Mapping[str, Counters],
    models: Mapping[str, Counters],
) -> tuple[Slots, Layout]:
    """The counters of a period from what it counted by provider, actual provider and model."""
    layout = layout_of(actual, models)
    numbers = _by_slot(providers)
    numbers[_WAVESPEED] = wavespeed
    numbers += [0] * (layout.size - len(numbers))
    for counts, places in ((actual, layout.actual), (models, layout.models)):
        for name, at in places.items():
            numbers[at : at + 3] = counts[name]
    return slots_of(numbers), layout


def restored_earlier(providers: Mapping[str, Counters]) -> Slots:
    """As `providers_only`, from what was counted by provider."""
    return slots_of(_by_slot(providers)[:_PROVIDERS])


def _by_slot(providers: Mapping[str, Counters]) -> list[int]:
    numbers = [0] * _SLOTS
    for name, counts in providers.items():
        slot = _FIRST[name]
        numbers[slot : slot + 3] = counts
        numbers[_TOTAL] += counts[COST]
        if slot in _OF_TEXT:
            numbers[_TEXT] += counts[CALLS]
    return numbers


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
            {sys.intern(name): _SLOTS + _PAIR * place for place, name in enumerate(names[0])},
            {sys.intern(name): _SLOTS + _PAIR * place + 3 for place, name in enumerate(names[1])},
            _SLOTS + _PAIR * max(len(names[0]), len(names[1])),
            sum([text_bytes(name) + ENTRY_BYTES for both in names for name in both]),
        )
    return layout


def text_bytes(text: str) -> int:
    """About how many bytes a text takes, with its UTF-8, which it keeps once it was encoded."""
    return TEXT_BYTES + (len(text) if text.isascii() else 8 * len(text))


NO_NAMES: Final = layout_of((), ())


def grown(used: Slots, layout: Layout) -> Slots:
    """The counters with room for all names of a layout."""
    missing = (layout.size - len(used)) // _PAIR
    if isinstance(used, list):
        return used + [0] * (_PAIR * missing)
    return used + array("Q", _ZEROS_OF_PAIR * missing)


def with_names(layout: Layout, actual: str, model: str) -> tuple[Layout, str, str]:
    """The layout that has room for a call, and under which names the call is counted."""
    if len(actual) + len(model) > STEP_CHARACTERS_MAX:
        return _with_names(layout, actual, model)
    return _step(layout, actual, model)


# Users come to the same names in the same few orders, and each who is replayed comes to them anew.
@lru_cache(maxsize=STEPS_KEPT)
def _step(layout: Layout, actual: str, model: str) -> tuple[Layout, str, str]:
    return _with_names(layout, actual, model)


def _with_names(layout: Layout, actual: str, model: str) -> tuple[Layout, str, str]:
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
