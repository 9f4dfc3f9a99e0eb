"""The live state of one user: what it counts and what it knows of plans, holds and alerts.

Only `state.apply` changes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from actors.billing.catalog.catalog import Touch
from actors.billing.counters.layout import Layout
from actors.billing.counters.layouts import FIXED, NO_NAMES, with_names
from actors.billing.counters.slots import (
    NONE_HELD,
    Amounts,
    Slots,
    by_name,
    grown,
    totals,
    used_providers,
    zeros,
)
from actors.billing.limits.limits import LimitTable, Watched, make_room, still_armed, table_of
from actors.billing.state.interning import NOTHING, span
from actors.billing.state.open_holds import OpenHold, OpenHolds
from actors.billing.state.tally import Tally, after_reset
from messages.stored.catalog import PlanTerms
from messages.stored.events import (
    Alert,
    Counters,
    StoredSubscription,
)

ACTIVE: Final = "active"
_NOTHING: Final[Counters] = (0, 0, 0)
UNREAD_MAX: Final = 1_000
"""Unread alerts of a user: beyond them the oldest counts as read."""
ENDED_MAX: Final = 1_000
"""Holds that ended which a live user remembers; the log knows the others."""


class Raised(NamedTuple):
    """An alert with when and where it entered the log."""

    alert: Alert
    at: int
    seq: int


@dataclass(slots=True)
class Period:
    """What one billing period counted.

    Attributes:
        used: the counters since the last reset, by slot (see `counters.slots`).
        layout: where providers beyond the 14, actual providers and models are counted.
        earlier: what was counted before the last reset by provider, None if none happened.
        levels: the highest threshold that each limit has crossed, in percent. Usage only
            grows between resets, so this is both what fired and where the limit stands.
        announced: whether its end was published.
        slept: the starts of the newest periods just before it in which nothing was written.
        tally: what few periods count, None if it has nothing to say.
        table: the plan's limits by what touches them.
        status: active, warning from 80 percent, limit_reached from 100 percent of any limit.
    """

    key: str
    start: int
    end: int
    terms: PlanTerms
    used: Slots = field(default_factory=zeros)
    layout: Layout = NO_NAMES
    earlier: dict[str, Counters] | None = None
    levels: dict[str, int] = field(default_factory=lambda: NOTHING)
    errors: int = 0
    response_micros: int = 0
    last_updated: int | None = None
    announced: bool = False
    slept: tuple[int, ...] = ()
    tally: Tally | None = None
    table: LimitTable = field(init=False, compare=False, repr=False)
    status: str = field(init=False, compare=False, repr=False)
    _armed: dict[Touch, tuple[Watched, ...]] | None = field(
        init=False, compare=False, repr=False, default=None
    )

    def __post_init__(self) -> None:
        self.key, self.start, self.end = span(self.key, self.start, self.end)
        self.put(self.terms)
        self.rearm()

    def put(self, terms: PlanTerms) -> None:
        """Put terms in force; `rearm` says what that means for the levels."""
        self.table = table_of(terms)
        self.terms = self.table.terms

    def rearm(self) -> None:
        """Set `status` anew and forget `armed` ones: `levels` or `table` have changed."""
        self.status = status_of(self.levels)
        self._armed = None

    def armed(self, touch: Touch) -> tuple[Watched, ...]:
        """The limits that a call touches and that can still cross a threshold."""
        if not self.levels:
            return self.table.watched(touch)  # nearly always: one for all users of the plan
        if self._armed is None:
            self._armed = {}
        found = self._armed.get(touch)
        if found is None:
            make_room(self._armed)
            found = self._armed[touch] = still_armed(self.table.watched(touch), self.levels)
        return found

    @property
    def actual(self) -> dict[str, Counters]:
        """Calls, tokens and cost since the last reset by actual provider."""
        return by_name(self.used, self.layout.actual)

    @property
    def models(self) -> dict[str, Counters]:
        """Calls, tokens and cost since the last reset by model."""
        return by_name(self.used, self.layout.models)

    def places(self, provider: str, actual: str, model: str) -> tuple[int, int, int]:
        """The slots of what is counted under these names, which get room if they have none."""
        layout, actual, model = with_names(self.layout, provider, actual, model)
        if layout is not self.layout:
            self.used = grown(self.used, self.layout, layout)
            self.layout = layout
        return layout.providers[provider], layout.actual[actual], layout.models[model]

    def reset(self) -> None:
        """Let all counters, and what they crossed, start again."""
        self.earlier = self.logged() or None
        self.used = zeros()
        self.layout = NO_NAMES
        self.errors = 0
        self.response_micros = 0
        self.tally = after_reset(self.tally)
        self.levels = NOTHING
        self.rearm()

    def logged(self) -> dict[str, Counters]:
        """Calls, tokens and cost of all that the period logged, over all resets, by provider.

        First the 14, then the others in the order in which they came.
        """
        found = used_providers(self.used, self.layout)
        if self.earlier is None:
            return found
        every = dict.fromkeys((*self.earlier, *found))
        names = [name for name in FIXED if name in every]
        return {
            name: _sum(self.earlier.get(name, _NOTHING), found.get(name, _NOTHING))
            for name in dict.fromkeys((*names, *every))
        }

    def totals(self) -> Counters:
        """Calls, tokens and cost of all that the period logged, over all resets."""
        counted = totals(self.used, self.layout)
        for before in (self.earlier or {}).values():
            counted = _sum(before, counted)
        return counted


def _sum(one: Counters, other: Counters) -> Counters:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def status_of(levels: dict[str, int]) -> str:
    """The usage status of the thresholds that were crossed."""
    if not levels:
        return ACTIVE
    return "limit_reached" if 100 in levels.values() else "warning"


@dataclass(slots=True)
class Account:
    """One user's live state as of position ``seq``; what is empty is shared (see `sharing`).

    Attributes:
        at: when the newest event took effect; time never runs backwards for a user.
        current: the current period, None for a user without one.
        closed: earlier periods that may still get late events, in the order they were opened.
        months: how many periods start in each month, for their keys.
        before: calls per provider that were logged in other periods than the current one.
        unread: the unread alerts by id, oldest first.
        sealed: how many periods have left this state and are rows of the log only.
        subscription: the newest one, None if there never was one.
        suspended: whether the user may make no calls.
        holds: the open holds, None if there are none.
        ended: how the newest holds ended, by id. Not part of the state: the log knows it too.
        grew: whether it got a name or an alert. For whoever weighs the state, no part of it.
    """

    user: str
    seq: int = 0
    at: int = 0
    current: Period | None = None
    closed: tuple[Period, ...] = ()
    months: dict[str, int] = field(default_factory=lambda: NOTHING)
    before: dict[str, int] = field(default_factory=lambda: NOTHING)
    unread: dict[str, Raised] = field(default_factory=lambda: NOTHING)
    sealed: int = 0
    subscription: StoredSubscription | None = None
    suspended: bool = False
    holds: OpenHolds | None = None
    ended: dict[str, str] = field(default_factory=lambda: NOTHING, compare=False, repr=False)
    grew: bool = field(default=False, compare=False, repr=False)

    def period(self, key: str) -> Period | None:
        """The period of a key, if it is the current one or within the grace."""
        if self.current is not None and self.current.key == key:
            return self.current
        return next((period for period in self.closed if period.key == key), None)

    def hold(self, hold_id: str, at: int) -> OpenHold | None:
        """A hold, if it is open at ``at``."""
        return None if self.holds is None else self.holds.get(hold_id, at)

    def held(self, at: int) -> Amounts:
        """What the open holds set aside at ``at``, by slot."""
        return NONE_HELD if self.holds is None else self.holds.amounts(at)

    def held_count(self, at: int) -> int:
        """How many holds are open at ``at``."""
        return 0 if self.holds is None else self.holds.count_at(at)

    def open_holds(self, at: int) -> list[OpenHold]:
        """The holds that are open at ``at``, oldest first."""
        return [] if self.holds is None else self.holds.open_at(at)


def logged(account: Account) -> dict[str, int]:
    """Calls ever logged, by provider."""
    calls = dict(account.before)
    if account.current is not None:
        for name, (count, _, _) in account.current.logged().items():
            calls[name] = calls.get(name, 0) + count
    return calls
