"""Where names are counted: a class of its own module, which is not compiled.

Layouts are held weakly, and an object of a compiled class cannot be.
"""

from __future__ import annotations

from msgspec import Struct


class Layout(Struct, frozen=True, eq=False, weakref=True):
    """Where the names of a period are counted, in the order in which they came.

    Attributes:
        actual, models: the slot of a name's calls; those of its tokens and cost are behind it.
        providers: the same of the providers: first the 14 of the contract, one dict for all
            layouts that have no others.
        others: the slot from which on the other providers are; they are the last ones.
        size: how many slots a period of this layout has.
        weight: about how many bytes it takes.
    """

    actual: dict[str, int]
    models: dict[str, int]
    providers: dict[str, int]
    others: int
    size: int
    weight: int
