"""The open holds of one user: amounts set aside, never part of the usage.

A hold is open while now < ``expires_at``. Expired ones leave this state with the next event;
until then every look at it says as of when.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from actors.billing.counters.slots import add, no_amounts

HOLDS_MAX: Final = 1_000
"""Open holds of one user."""
NEVER: Final = 2**63


class OpenHold(NamedTuple):
    """Amounts that are set aside; ``amounts`` are calls, tokens and cost in nano-USD.

    ``derived``: the cost is the service's estimate.
    """

    id: str
    provider: str
    actual: str
    model: str
    amounts: tuple[int, int, int]
    derived: bool
    created_at: int
    expires_at: int


class OpenHolds:
    """The holds by id, oldest first, and what they hold by slot (see `counters.slots`)."""

    __slots__ = ("_by_id", "_slots", "_soonest")

    def __init__(self, holds: Sequence[OpenHold] = ()) -> None:
        self._by_id: dict[str, OpenHold] = {}
        self._slots = no_amounts()
        self._soonest = NEVER  # no hold ends before
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
        """The hold, where it is open at ``at``."""
        hold = self._by_id.get(hold_id)
        return None if hold is None or hold.expires_at <= at else hold

    def slots(self, at: int) -> list[int]:
        """What is held at ``at``, by slot."""
        if at < self._soonest:
            return self._slots
        held = no_amounts()
        for hold in self.open_at(at):
            add(held, hold.provider, hold.actual, hold.amounts)
        return held

    def open_at(self, at: int) -> list[OpenHold]:
        """Those that are open at ``at``."""
        return [hold for hold in self._by_id.values() if hold.expires_at > at]

    def count_at(self, at: int) -> int:
        """How many are open at ``at``; for one user many callers may hold at once."""
        return len(self._by_id) if at < self._soonest else len(self.open_at(at))

    def put(self, hold: OpenHold) -> None:
        """Set amounts aside, or others for a hold that is there."""
        before = self._by_id.get(hold.id)
        if before is not None:
            self._subtract(before)
        self._by_id[hold.id] = hold
        add(self._slots, hold.provider, hold.actual, hold.amounts)
        self._soonest = min(self._soonest, hold.expires_at)

    def remove(self, hold_id: str) -> None:
        """End a hold."""
        self._subtract(self._by_id.pop(hold_id))

    def expire(self, at: int) -> list[str]:
        """Drop the holds that are over at ``at``; their ids."""
        if at < self._soonest:
            return []
        over = [hold.id for hold in self._by_id.values() if hold.expires_at <= at]
        for hold_id in over:
            self.remove(hold_id)
        self._soonest = min((hold.expires_at for hold in self), default=NEVER)
        return over

    def _subtract(self, hold: OpenHold) -> None:
        calls, tokens, cost = hold.amounts
        add(self._slots, hold.provider, hold.actual, (-calls, -tokens, -cost))
