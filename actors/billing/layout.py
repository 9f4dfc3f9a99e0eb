"""Where names are counted: a class of its own module, which is not compiled.

Layouts are held weakly, and an object of a compiled class cannot be.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.billing.limits.limits import SLOTS

PAIR: Final = 6
"""Numbers of one actual provider and one model: their places alternate, so that those of a
name do not depend on how many names of the other kind there are."""


class Layout(Struct, frozen=True, eq=False, weakref=True):
    """Where the names of a period are counted, in the order in which they came.

    Attributes:
        actual, models: the slot of a name's calls; those of its tokens and cost are behind it.
    """

    actual: dict[str, int]
    models: dict[str, int]

    @property
    def size(self) -> int:
        """How many slots a period of this layout has."""
        return SLOTS + PAIR * max(len(self.actual), len(self.models))
