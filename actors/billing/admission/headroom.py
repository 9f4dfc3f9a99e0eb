"""How a user stands with the limits that a call touches: used, held, and what room is left.

Most calls fit, and a call fits where each of its amounts fits into the tightest hard limit of
its unit. So a standing knows that room, and its limits as replies show them but for what the
call asks for. It is good until the next event of the user; those that were asked for last are
kept, because an unanswered question is often asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from actors.billing.catalog.catalog import Touch
from actors.billing.counters.slots import UNITS
from actors.billing.limits.limits import Limit
from actors.billing.state.account import Account, Period
from actors.billing.wire.decision import around_requested, limit_head, limit_tail
from messages.units import usd_text

RECENT_MAX: Final = 4096
"""Standings that are kept; with their texts they take some 10 MB."""
BOUNDLESS: Final = 2**200
"""Above every amount: the room where no hard limit bounds a unit."""

Row = tuple[Limit, int, int]
"""A limit that a call touches, what is used of it and what is held."""


class Standing:
    """The limits that a call touches.

    Attributes:
        rows: the limits, each with what is used of it and what is held.
        room: what calls, tokens and cost may still amount to under the hard ones.
    """

    __slots__ = ("_end", "_pieces", "_seq", "_units", "_used", "room", "rows")

    def __init__(
        self,
        limits: tuple[Limit, ...],
        used: Sequence[int],
        held: Sequence[int],
        end: int,
        seq: int = -1,
    ) -> None:
        self.rows: list[Row] = []
        room = [BOUNDLESS] * len(UNITS)
        for limit in limits:
            slot, unit = limit.slot, limit.unit
            row = (limit, used[slot], held[slot])
            self.rows.append(row)
            if limit.hard:
                room[unit] = min(room[unit], limit.value - row[1] - row[2])
        self.room = (room[0], room[1], room[2])
        self._end = end
        self._pieces: list[str] = []  # made when they are first asked for
        self._units: list[int] = []
        self._used = used
        self._seq = seq

    def fits(self, amounts: tuple[int, int, int]) -> bool:
        """Whether every hard limit allows a call; one that asks for nothing needs room left."""
        calls, tokens, cost = amounts
        room = self.room
        return (calls or 1) <= room[0] and (tokens or 1) <= room[1] and (cost or 1) <= room[2]

    def is_of(self, used: Sequence[int], seq: int) -> bool:
        """Whether it was made of these counters, and nothing has happened to them since."""
        return self._used is used and self._seq == seq

    def text(self, amounts: tuple[int, int, int]) -> str:
        """The limits as the list of a reply to a call, without brackets."""
        if not self._pieces:
            self._write()
        requested = (str(amounts[0]), str(amounts[1]), usd_text(amounts[2]))
        pieces = self._pieces.copy()
        at = 1
        for unit in self._units:
            pieces[at] = requested[unit]
            at += 2
        return "".join(pieces)

    def _write(self) -> None:
        """Write all that is the same for every call, with empty places between."""
        tail, between = limit_tail(self._end), ""
        for limit, used, held in self.rows:
            head = limit_head(limit.name, limit.unit, limit.kind, limit.value)
            before, after = around_requested(head, limit.unit, limit.value, used, held, tail)
            self._pieces += [between + before, ""]
            self._units.append(limit.unit)
            between = after + ","
        self._pieces.append(between[:-1])


_recent: Final[dict[tuple[str, Touch], Standing]] = {}


def standing_of(account: Account, period: Period, touch: Touch, at: int) -> Standing:
    """How a user stands in a period."""
    limits = period.table.touched(touch)
    if account.holds is not None:  # one may end at any moment
        return Standing(limits, period.used, account.held(at), period.end)
    asked = (account.user, touch)
    found = _recent.get(asked)
    if found is None or not found.is_of(period.used, account.seq):
        if len(_recent) >= RECENT_MAX:
            _recent.clear()  # an order of use would cost every call more than this
        found = Standing(limits, period.used, account.held(at), period.end, account.seq)
        _recent[asked] = found
    return found
