"""What room the limits that a call touches leave: limit - used - held.

Most calls fit, and a call fits if each of its amounts fits into the tightest hard limit of its
unit. So a headroom knows that room. It is good until the next event of the user; those that
were asked for last are kept, because an unanswered question is often asked again.
"""

from __future__ import annotations

from typing import Final

from actors.billing.catalog.catalog import Touch
from actors.billing.counters.layout import Layout
from actors.billing.counters.layouts import UNITS
from actors.billing.counters.slots import Amounts, Slots
from actors.billing.limits.limits import Limit
from actors.billing.limits.windows import Window
from actors.billing.state.account import Account, Period
from messages.stored.events import (
    Counters,
)

RECENT_MAX: Final = 4096
"""Headrooms that are kept; with their texts they take some 10 MB."""
BOUNDLESS: Final = 2**200
"""Above every amount: the room of a unit that no hard limit bounds."""

LimitUse = tuple[Limit, int, int]
"""A limit that a call touches, what is used of it and what is held."""
Rendered = tuple[list[str], list[int]]
"""What `wire` makes of a headroom once, for all calls that are judged by it."""


class Headroom:
    """The limits that a call touches.

    Attributes:
        uses: the limits, each with what is used of it and what is held.
        room: what calls, tokens and cost may still amount to under the hard ones.
        rendered: a place for whoever shows the limits; None until they are shown.
    """

    __slots__ = ("_end", "_seq", "_used", "rendered", "room", "uses")

    def __init__(
        self,
        limits: tuple[Limit, ...],
        used: Slots,
        layout: Layout,
        held: Amounts,
        end: int,
        seq: int = -1,
    ) -> None:
        self.uses: list[LimitUse] = []
        room = [BOUNDLESS] * len(UNITS)
        held_slots, held_layout = held
        for limit in limits:
            slot, unit = limit.slot, limit.unit
            try:
                taken, set_aside = used[slot], held_slots[slot]
            except IndexError:  # it is where the layouts say
                taken, set_aside = limit.of(used, layout), limit.of(held_slots, held_layout)
            self.uses.append((limit, taken, set_aside))
            if limit.hard:
                room[unit] = min(room[unit], limit.value - taken - set_aside)
        self.room = (room[0], room[1], room[2])
        self.rendered: Rendered | None = None
        self._end = end
        self._used = used
        self._seq = seq

    def fits(self, amounts: Counters) -> bool:
        """Whether every hard limit allows a call; one that asks for nothing needs room left."""
        calls, tokens, cost = amounts
        room = self.room
        return (calls or 1) <= room[0] and (tokens or 1) <= room[1] and (cost or 1) <= room[2]

    def resets_at(self, window: Window) -> int:
        """When the limits of a window count from zero again, in microseconds."""
        return window.resets_at(self._end)

    def is_of(self, used: Slots, seq: int) -> bool:
        """Whether it was made of these counters, and nothing has happened to them since."""
        return self._used is used and self._seq == seq


class Headrooms:
    """The newest headrooms of all users, at most `RECENT_MAX`."""

    __slots__ = ("_recent",)

    def __init__(self) -> None:
        self._recent: dict[tuple[str, Touch], Headroom] = {}

    def of(self, account: Account, period: Period, touch: Touch, at: int) -> Headroom:
        """What room a user has in a period at a moment."""
        limits = period.table.touched(touch)
        if account.holds is not None:  # one may end at any moment
            return Headroom(limits, period.used, period.layout, account.held(at), period.end)
        asked = (account.user, touch)
        found = self._recent.get(asked)
        if found is None or not found.is_of(period.used, account.seq):
            if len(self._recent) >= RECENT_MAX:
                self._recent.clear()  # an order of use would cost every call more than this
            held = account.held(at)
            found = Headroom(limits, period.used, period.layout, held, period.end, account.seq)
            self._recent[asked] = found
        return found
