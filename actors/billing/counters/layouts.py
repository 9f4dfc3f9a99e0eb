"""Where each name of a period is counted: one `Layout` for all periods that count the same names.

The places of the 14 providers of the contract and of what spans providers are fixed. Behind them
are those of actual providers and models, in pairs, and at the end those of other providers: they
move when names come, which is seldom, and no limit of a plan of the 14 looks anything up.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final
from weakref import WeakValueDictionary

from actors.billing.catalog.providers import NAMES
from actors.billing.counters.layout import Layout

UNITS: Final = ("calls", "tokens", "cost")
"""What is counted, cost in nano-USD; `Counters` and all amounts have this order."""
NAMES_MAX: Final = 100
"""Names of models and actual providers that a period counts apart. Providers have no such bound:
limits are of them, and there are as many as the catalogue has."""
OTHER: Final = "other"
STEPS_KEPT: Final = 256
"""Steps from one layout to the next that are known, each with the layout that it leads to."""
STEP_CHARACTERS_MAX: Final = 128
"""Of the names of such a step: longer ones are not kept for others."""
STEP_OTHERS_MAX: Final = 100
"""Of the providers beyond the 14 that the layout of such a step has."""
ENTRY_BYTES: Final = 100
"""What a name in a layout takes beside its text."""
TEXT_BYTES: Final = 50
"""What a text takes beside its characters."""
FIXED: Final = {name: len(UNITS) * place for place, name in enumerate(NAMES)}
"""The slot of the calls of each of the 14."""
PROVIDER_SLOTS: Final = len(UNITS) * len(NAMES)
FIXED_SLOTS: Final = PROVIDER_SLOTS + 3
"""With the three sums that span providers."""
PAIR: Final = 6
"""Numbers of one actual provider and one model: their places alternate, so that those of a
name do not depend on how many names of the other kind there are."""

_Names = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
# A layout is here as long as a period has it, or one of the newest steps leads to it.
_layouts: Final[WeakValueDictionary[_Names, Layout]] = WeakValueDictionary()


def layout_of(actual: Iterable[str], models: Iterable[str], others: Iterable[str] = ()) -> Layout:
    """The one layout of these names; ``others`` are providers beyond the 14."""
    names = (tuple(actual), tuple(models), tuple(others))
    layout = _layouts.get(names)
    if layout is None:
        start = FIXED_SLOTS + PAIR * max(len(names[0]), len(names[1]))
        # One string for all who use a name: what is decoded has strings of its own.
        own = {sys.intern(name): start + len(UNITS) * at for at, name in enumerate(names[2])}
        layout = _layouts[names] = Layout(
            {sys.intern(name): FIXED_SLOTS + PAIR * at for at, name in enumerate(names[0])},
            {sys.intern(name): FIXED_SLOTS + PAIR * at + 3 for at, name in enumerate(names[1])},
            FIXED | own if own else FIXED,
            start,
            start + len(UNITS) * len(own),
            sum([text_bytes(name) + ENTRY_BYTES for each in names for name in each]),
        )
    return layout


def text_bytes(text: str) -> int:
    """About how many bytes a text takes, with its UTF-8, which it keeps once it was encoded."""
    return TEXT_BYTES + (len(text) if text.isascii() else 8 * len(text))


NO_NAMES: Final = layout_of((), ())


def others_of(layout: Layout) -> list[str]:
    """The providers beyond the 14, in the order in which they came."""
    return list(layout.providers)[len(FIXED) :]


def with_provider(layout: Layout, provider: str) -> Layout:
    """The layout that has room for one more provider, which is the last one."""
    return layout_of(layout.actual, layout.models, (*others_of(layout), provider))


def with_names(layout: Layout, provider: str, actual: str, model: str) -> tuple[Layout, str, str]:
    """The layout that has room for a call, and under which names the call is counted."""
    other = "" if provider in FIXED else provider
    if (
        len(other) + len(actual) + len(model) > STEP_CHARACTERS_MAX
        or len(layout.providers) > len(FIXED) + STEP_OTHERS_MAX
    ):
        return _with_names(layout, other, actual, model)
    return _step(layout, other, actual, model)


# Users come to the same names in the same few orders, and each who is replayed comes to them anew.
@lru_cache(maxsize=STEPS_KEPT)
def _step(layout: Layout, other: str, actual: str, model: str) -> tuple[Layout, str, str]:
    return _with_names(layout, other, actual, model)


def _with_names(layout: Layout, other: str, actual: str, model: str) -> tuple[Layout, str, str]:
    actual, model = _counted_as(layout.actual, actual), _counted_as(layout.models, model)
    new = bool(other) and other not in layout.providers
    if new or actual not in layout.actual or model not in layout.models:
        layout = layout_of(
            dict.fromkeys((*layout.actual, actual)),
            dict.fromkeys((*layout.models, model)),
            (*others_of(layout), other) if new else others_of(layout),
        )
    return layout, actual, model


def _counted_as(places: Mapping[str, int], name: str) -> str:
    """The name itself; one place is kept for all that does not fit by name."""
    return name if name in places or len(places) < NAMES_MAX else OTHER
