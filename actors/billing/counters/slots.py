"""The counters of a period in one block of memory: the only module that knows a slot.

A live user is little but counters, and 100,000 of them are live at once. As Python's own
integers, tuples and dicts they took 1.6 KB each, in an array of 64-bit integers they take a
third of that. So a period has one array of slots: calls, tokens and cost of each provider of the
contract, three sums that span providers, then the same three numbers for each name of an actual
provider or a model, and at the end those of each other provider. Which name has which place is a
`Layout`, one object for all periods that count the same names: see `layouts`.

Nothing is lost when a number does not fit into 64 bits: the array becomes a list, whose numbers
have no end, and reads the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Final, TypeAlias

from actors.billing.catalog.catalog import (
    BY_WAVESPEED,
    MONTHLY_COST,
    OF_TEXT,
    TEXT_CALLS,
    WAVESPEED_CALLS,
    Touch,
)
from actors.billing.catalog.providers import TEXT_PROVIDERS, WAVESPEED
from actors.billing.counters.layout import Layout
from actors.billing.counters.layouts import (
    FIXED,
    FIXED_SLOTS,
    NO_NAMES,
    OTHER,
    PROVIDER_SLOTS,
    UNITS,
    layout_of,
    with_provider,
)
from messages.identifiers import is_provider_id
from messages.stored.events import Counters

CALLS: Final = 0
TOKENS: Final = 1
COST: Final = 2
NUMBER_MAX: Final = 2**64 - 1
"""The largest number that an array holds. It has no sign: no counter falls below 0, and to set
one takes two thirds as long as with a sign."""
Slots: TypeAlias = "array[int] | list[int]"
"""Counters by slot: a list if one of them does not fit into an array, else an array."""
Amounts: TypeAlias = "tuple[list[int] | tuple[int, ...], Layout]"
"""What is held, by slot, and where each provider has its slots."""

_TEXT: Final = PROVIDER_SLOTS
_WAVESPEED: Final = PROVIDER_SLOTS + 1
_TOTAL: Final = PROVIDER_SLOTS + 2
OTHERS_SHOWN_MAX: Final = 100
"""Providers beyond the 14 that a summary shows apart; all of them are counted apart."""
ELSEWHERE: Final = 2**31 - 1
"""The slot of a limit whose counter has no place of its own: that of a provider beyond the 14,
which is where the layout says; see `read`. No array is so long: whoever reads a slot without
asking has an `IndexError`, which costs the others nothing."""
_SPANNING: Final = {
    TEXT_CALLS: (_TEXT, CALLS, ""),
    WAVESPEED_CALLS: (_WAVESPEED, CALLS, WAVESPEED),
    MONTHLY_COST: (_TOTAL, COST, ""),
}
_OF_TEXT: Final = frozenset(FIXED[name] for name in TEXT_PROVIDERS)
_ZEROS: Final = bytes(8 * FIXED_SLOTS)
NONE_HELD: Final[Amounts] = ((0,) * FIXED_SLOTS, NO_NAMES)
"""What is held by a user without holds."""


def slot_of(limit: str) -> tuple[int, int, str] | None:
    """The slot that a limit of this name bounds, its unit, and the provider whose calls it
    counts, empty if it counts what spans them; None for a name that is none of a limit.
    """
    if limit in _SPANNING:
        return _SPANNING[limit]
    provider, _, unit_name = limit.rpartition("_")
    if unit_name not in UNITS or not is_provider_id(provider):
        return None
    unit = UNITS.index(unit_name)
    first = FIXED.get(provider)
    return ELSEWHERE if first is None else first + unit, unit, provider


def read(
    slots: Slots | list[int] | tuple[int, ...], layout: Layout, slot: int, unit: int, provider: str
) -> int:
    """The amount in a limit's slot, 0 if nothing has been counted of its provider."""
    if slot != ELSEWHERE:
        return slots[slot]
    first = layout.providers.get(provider)
    return 0 if first is None else slots[first + unit]


def slots_of_call(touch: Touch) -> frozenset[int]:
    """The fixed slots in which every call counts; wavespeed's own calls are not here."""
    provider, flags = touch
    first = FIXED.get(provider)
    text = {_TEXT} if first in _OF_TEXT or flags & OF_TEXT else set()
    own = () if first is None else range(first, first + len(UNITS))
    return frozenset({*own, _TOTAL, *text})


def add(slots: list[int], layout: Layout, touch: Touch, amounts: Counters) -> Layout:
    """Add a call's calls, tokens and cost to all slots in which it counts, without its names.

    Returns:
        The layout of the slots, another one if they got room for the call's provider.
    """
    provider, flags = touch
    calls, tokens, cost = amounts
    slot = layout.providers.get(provider, ELSEWHERE)
    if slot == ELSEWHERE:
        layout, slot = with_provider(layout, provider), len(slots)
        slots += (0, 0, 0)
    slots[slot] += calls
    slots[slot + 1] += tokens
    slots[slot + 2] += cost
    slots[_TOTAL] += cost
    if slot in _OF_TEXT or flags & OF_TEXT:
        slots[_TEXT] += calls
    if provider == WAVESPEED or flags & BY_WAVESPEED:
        slots[_WAVESPEED] += calls
    return layout


def count(
    used: Slots, provider: str, actual: str, places: tuple[int, int, int], tokens: int, cost: int
) -> Slots:
    """Count one call that was made, also by name; the counters, a list if one has outgrown 64 bits.

    As `add`, written out, and once more by name: every call waits for this.

    Args:
        used: the counters, which are changed.
        provider: the canonical provider; one of the text group that is none of the 14 is counted
            in the group by `count_text`.
        actual: who served the call.
        places: the slots of the calls of its provider, its actual provider and its model.
        tokens: how many.
        cost: in nano-USD.
    """
    slot, of_actual, of_model = places
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


def count_text(used: Slots) -> None:
    """Count one call in the text group, of a provider that is none of the 14."""
    used[_TEXT] += 1


def of_providers(used: Slots, layout: Layout) -> dict[str, Counters]:
    """Calls, tokens and cost of the providers of the contract, and of the others that were used."""
    return by_name(used, layout.providers)


def shown_providers(used: Slots, layout: Layout) -> dict[str, Counters]:
    """As `of_providers`; what is beyond the first `OTHERS_SHOWN_MAX` others is one sum, `OTHER`."""
    found = of_providers(used, layout)
    if len(found) > len(FIXED) + OTHERS_SHOWN_MAX:
        rest = list(found)[len(FIXED) + OTHERS_SHOWN_MAX :]
        calls, tokens, cost = zip(*[found.pop(name) for name in rest], strict=True)
        found[OTHER] = sum(calls), sum(tokens), sum(cost)
    return found


def shown_as(provider: str, layout: Layout) -> str:
    """The name under which `shown_providers` has a provider of the layout: its own, or `OTHER`."""
    place = layout.providers[provider] - layout.others
    return OTHER if place >= len(UNITS) * OTHERS_SHOWN_MAX else provider


def used_providers(used: Slots, layout: Layout) -> dict[str, Counters]:
    """Calls, tokens and cost of the providers with any use."""
    return {name: counts for name, counts in of_providers(used, layout).items() if any(counts)}


def totals(used: Slots | list[int] | tuple[int, ...], layout: Layout) -> Counters:
    """Calls, tokens and cost over all providers."""
    others = layout.others
    calls, tokens, cost = (sum(used[unit:PROVIDER_SLOTS:3]) for unit in (CALLS, TOKENS, COST))
    if layout.size == others:  # nearly always
        return calls, tokens, cost
    return (
        calls + sum(used[others + CALLS :: 3]),
        tokens + sum(used[others + TOKENS :: 3]),
        cost + sum(used[others + COST :: 3]),
    )


def total_cost(used: Slots) -> int:
    """The cost over all providers, in nano-USD."""
    return used[_TOTAL]


def wavespeed_calls(used: Slots) -> int:
    """Calls whose provider or actual provider is wavespeed."""
    return used[_WAVESPEED]


def text_calls_of_others(used: Slots) -> int:
    """Calls of the text group whose provider is none of the 14."""
    return used[_TEXT] - sum([used[slot] for slot in _OF_TEXT])


def zeros() -> Slots:
    """The counters of a period in which nothing was counted."""
    return array("Q", _ZEROS)


def no_amounts() -> list[int]:
    """What is held, by slot, before anything is."""
    return [0] * FIXED_SLOTS


def slots_of(numbers: list[int]) -> Slots:
    """These numbers in as little memory as holds them."""
    try:
        return array("Q", numbers)
    except OverflowError:
        return numbers


def restored(
    providers: Mapping[str, Counters],
    spanning: tuple[int, int],
    actual: Mapping[str, Counters],
    models: Mapping[str, Counters],
) -> tuple[Slots, Layout]:
    """The counters of a period from what it counted by provider, actual provider and model.

    ``spanning`` are `wavespeed_calls` and `text_calls_of_others`.
    """
    layout = layout_of(actual, models, [name for name in providers if name not in FIXED])
    numbers = [0] * layout.size
    numbers[_WAVESPEED], numbers[_TEXT] = spanning
    for name, counts in providers.items():
        slot = layout.providers[name]
        numbers[slot : slot + 3] = counts
        numbers[_TOTAL] += counts[COST]
        if slot in _OF_TEXT:
            numbers[_TEXT] += counts[CALLS]
    for named, places in ((actual, layout.actual), (models, layout.models)):
        for name, at in places.items():
            numbers[at : at + 3] = named[name]
    return slots_of(numbers), layout


def grown(used: Slots, before: Layout, layout: Layout) -> Slots:
    """The counters of a layout with room for all names of another, which has all of its own."""
    names = layout.others - before.others
    others = layout.size - layout.others - (before.size - before.others)
    at = before.others
    if isinstance(used, list):
        return [*used[:at], *([0] * names), *used[at:], *([0] * others)]
    return used[:at] + array("Q", bytes(8 * names)) + used[at:] + array("Q", bytes(8 * others))


def by_name(used: Slots, places: Mapping[str, int]) -> dict[str, Counters]:
    """Calls, tokens and cost of each name."""
    return {name: (used[at], used[at + 1], used[at + 2]) for name, at in places.items()}
