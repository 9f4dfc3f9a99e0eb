"""The open holds of one user: amounts set aside, never part of the usage.

A hold is open while now < ``expires_at``. Expired ones leave this state with the next event;
until then every look at it says as of when.

A look costs what has expired since the one before it, however many holds are open: the sums are
kept, and the holds wait in the order in which they expire. So one that asks a hundred times (a
``preflight`` does) costs no more than others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import Final, NamedTuple

from actors.billing.catalog.catalog import Touch, touch_of
from actors.billing.counters.layouts import (
    FIXED,
    FIXED_SLOTS,
    NO_NAMES,
    UNITS,
    layout_of,
    others_of,
    text_bytes,
)
from actors.billing.counters.slots import Amounts, add, no_amounts
from messages.stored.detail import HoldDetail
from messages.stored.events import Counters

HOLDS_MAX: Final = 1_000
"""Open holds of one user."""
HOLD_BYTES: Final = 500
"""What one takes beside its texts, also in the queue."""
_LONG_AGO: Final = -1
_STALE_MAX: Final = 64
"""Entries of the queue, and providers, beyond two for each hold that may be those of holds that
are gone."""


class OpenHold(NamedTuple):
    """Amounts that are set aside; ``amounts`` are calls, tokens and cost in nano-USD.

    ``derived``: the cost is the service's estimate. ``detail`` has what few holds say.
    """

    id: str
    provider: str
    actual: str
    model: str
    amounts: tuple[int, int, int]
    derived: bool
    created_at: int
    expires_at: int
    detail: HoldDetail | None = None

    @property
    def touch(self) -> Touch:
        """What decides which limits it touches."""
        text = self.detail is not None and self.detail.text
        return touch_of(self.provider, self.actual, text=text)


class OpenHolds:
    """The holds by id, oldest first, and what they hold by slot (see `counters.slots`).

    What has expired by the latest look is in no sum any more, but it is part of the state until
    `expire`: two of these are equal if they have the same holds, whoever has looked.

    Attributes:
        weight: about how many bytes they take.
    """

    __slots__ = ("_by_id", "_expired", "_layout", "_queue", "_since", "_slots", "weight")

    def __init__(self, holds: Sequence[OpenHold] = ()) -> None:
        self._by_id: dict[str, OpenHold] = {}
        self._slots, self._layout = no_amounts(), NO_NAMES
        self._queue: list[tuple[int, str]] = []  # when each expires; may name ones that are gone
        self._expired: dict[str, bool] = {}  # as of the latest look
        self._since = _LONG_AGO  # when the last of them did
        self.weight = 0
        for hold in holds:
            self.put(hold)

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, hold_id: str) -> bool:
        return hold_id in self._by_id

    def __iter__(self) -> Iterator[OpenHold]:
        return iter(self._by_id.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpenHolds) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def get(self, hold_id: str, at: int) -> OpenHold | None:
        """The hold, if it is open at ``at``."""
        hold = self._by_id.get(hold_id)
        return None if hold is None or hold.expires_at <= at else hold

    def amounts(self, at: int) -> Amounts:
        """What is held at ``at``, by slot: to look at, never to change."""
        self._look(at)
        return self._slots, self._layout

    def open_at(self, at: int) -> list[OpenHold]:
        """Those that are open at ``at``."""
        return [hold for hold in self._by_id.values() if hold.expires_at > at]

    def count_at(self, at: int) -> int:
        """How many are open at ``at``; for one user many callers may hold at once."""
        self._look(at)
        return len(self._by_id) - len(self._expired)

    def put(self, hold: OpenHold) -> None:
        """Set amounts aside, or others for a hold that is there."""
        before = self._by_id.get(hold.id)
        if before is None:
            self.weight += weight_of(hold)
        else:
            self._subtract(before)
            if before.detail is not hold.detail:
                self.weight += weight_of(hold) - weight_of(before)
        expired = self._expired.pop(hold.id, False)
        self._by_id[hold.id] = hold
        self._add(hold, hold.amounts)
        if expired or before is None or before.expires_at != hold.expires_at:
            self._wait(hold)

    def remove(self, hold_id: str) -> None:
        """End a hold."""
        hold = self._by_id.pop(hold_id)
        self.weight -= weight_of(hold)
        self._subtract(hold)
        self._expired.pop(hold_id, False)

    def expire(self, at: int) -> list[str]:
        """Drop the holds that are over at ``at``; their ids."""
        self._look(at)
        if not self._expired:
            return []
        over = list(self._expired)
        for hold_id in over:
            self.weight -= weight_of(self._by_id.pop(hold_id))
        self._forget()
        return over

    def _look(self, at: int) -> None:
        """Have the sums be those of ``at``."""
        if at < self._since:  # the clock went back: what had expired by now is open again
            for hold_id in self._expired:
                hold = self._by_id[hold_id]
                self._add(hold, hold.amounts)
                heappush(self._queue, (hold.expires_at, hold_id))
            self._forget()
        queue = self._queue
        while queue and queue[0][0] <= at:
            expires_at, hold_id = heappop(queue)
            found = self._by_id.get(hold_id)
            if found is None or found.expires_at != expires_at or hold_id in self._expired:
                continue  # it ended before, or was extended
            self._subtract(found)
            self._expired[hold_id] = True
            self._since = max(self._since, expires_at)

    def _compact(self) -> None:
        """Forget the providers of which no hold is open; a caller may name any."""
        slots, places = self._slots, self._layout.providers
        held = {
            name: amounts
            for name in others_of(self._layout)
            if any(amounts := slots[places[name] : places[name] + len(UNITS)])
        }
        self._layout = layout_of((), (), held)
        self._slots = [*slots[:FIXED_SLOTS], *chain.from_iterable(held.values())]

    def _forget(self) -> None:
        """No hold is known to have expired."""
        self._expired.clear()
        self._since = _LONG_AGO

    def _wait(self, hold: OpenHold) -> None:
        """Have a hold wait for its end; what ended before it may be thrown out."""
        if len(self._queue) > 2 * len(self._by_id) + _STALE_MAX:
            gone = self._expired
            self._queue = [(x.expires_at, x.id) for x in self if x.id not in gone]
            heapify(self._queue)
        else:
            heappush(self._queue, (hold.expires_at, hold.id))

    def _subtract(self, hold: OpenHold) -> None:
        """Take a hold out of the sums, if it is in them."""
        if hold.id not in self._expired:
            calls, tokens, cost = hold.amounts
            self._add(hold, (-calls, -tokens, -cost))

    def _add(self, hold: OpenHold, amounts: Counters) -> None:
        if len(self._layout.providers) > len(FIXED) + 2 * len(self._by_id) + _STALE_MAX:
            self._compact()
        self._layout = add(self._slots, self._layout, hold.touch, amounts)


def weight_of(hold: OpenHold) -> int:
    """About how many bytes a hold takes; when it is extended, its units may be others."""
    texts = [hold.id, hold.model, hold.actual]
    if hold.detail is not None:
        tags = hold.detail.tags or {}
        units = hold.detail.units or {}
        texts += [hold.detail.key or "", *tags, *tags.values(), *units, *units]
    return HOLD_BYTES + sum([text_bytes(text) for text in texts])
