"""The state of one user, and `apply`: the only way in which it ever changes.

Live and replayed events go through the same `apply`, which looks at nothing but the state
and the event: replay equals live, bit for bit. Time acts only through an event's ``at``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple, assert_never

from actors.billing.limits import (
    INDEX,
    PROVIDER_NAMES,
    SLOTS,
    TEXT_CALLS,
    TOTAL_COST,
    WAVESPEED_CALLS,
    LimitTable,
    table_of,
)
from actors.billing.providers import TEXT_PROVIDERS, WAVESPEED
from messages.events import (
    Alert,
    CountersReset,
    Event,
    PeriodAdded,
    PeriodRolled,
    PeriodSealed,
    PlanTerms,
    UsageRecorded,
)
from messages.units import MICROS_PER_SECOND

NAMES_MAX: Final = 100
"""Names of models and actual providers that a period counts apart."""
OTHER: Final = "other"
ACTIVE: Final = "active"
UNREAD_MAX: Final = 50
"""Unread alerts that a live user keeps in memory."""

_TEXT: Final = frozenset(INDEX[name] for name in TEXT_PROVIDERS)


class Raised(NamedTuple):
    """An alert with when and where it entered the log."""

    alert: Alert
    at: int
    seq: int


@dataclass(slots=True)
class Period:
    """What one billing period counted.

    Attributes:
        used: the counters since the last reset, by slot (see `limits`).
        earlier: what was counted before the last reset, by slot; None where none happened.
        actual, models: calls, tokens and cost since the last reset by name.
        levels: the highest threshold that each limit has crossed, in percent. Usage only
            grows between resets, so this is both what fired and where the limit stands.
        announced: whether its end was published.
        table: the plan's limits by what touches them.
    """

    key: str
    start: int
    end: int
    terms: PlanTerms
    used: list[int] = field(default_factory=lambda: [0] * SLOTS)
    earlier: list[int] | None = None
    actual: dict[str, list[int]] = field(default_factory=dict)
    models: dict[str, list[int]] = field(default_factory=dict)
    levels: dict[str, int] = field(default_factory=dict)
    errors: int = 0
    response_micros: int = 0
    last_updated: int | None = None
    announced: bool = False
    table: LimitTable = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.table = table_of(self.terms)

    @property
    def status(self) -> str:
        """active, warning from 80 percent, limit_reached from 100 percent of any limit."""
        return status_of(self.levels)

    def totals(self) -> tuple[int, int, int]:
        """Calls, tokens and cost of all that the period logged, over all resets."""
        calls, tokens, cost = (sum(self.used[unit:TEXT_CALLS:3]) for unit in range(3))
        if self.earlier is not None:
            before = self.earlier
            calls += sum(before[0:TEXT_CALLS:3])
            tokens += sum(before[1:TEXT_CALLS:3])
            cost += sum(before[2:TEXT_CALLS:3])
        return calls, tokens, cost


def status_of(levels: dict[str, int]) -> str:
    """The usage status of the thresholds that were crossed."""
    if not levels:
        return ACTIVE
    return "limit_reached" if 100 in levels.values() else "warning"


@dataclass(slots=True)
class Account:
    """One user's live state as of position ``seq``.

    Attributes:
        at: when the newest event took effect; time never runs backwards for a user.
        current: the current period, None for a user without a log.
        closed: earlier periods that may still get late events, in the order they were opened.
        months: how many periods start in each month, for their keys.
        before: calls per provider that were logged in other periods than the current one.
        unread: the newest unread alerts, oldest first.
    """

    user: str
    seq: int = 0
    at: int = 0
    current: Period | None = None
    closed: list[Period] = field(default_factory=list)
    months: dict[str, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)
    unread: deque[Raised] = field(default_factory=lambda: deque(maxlen=UNREAD_MAX))

    def period(self, key: str) -> Period | None:
        """The period of a key, where it is the current one or within the grace."""
        if self.current is not None and self.current.key == key:
            return self.current
        return next((period for period in self.closed if period.key == key), None)


def apply(account: Account, event: Event, at: int, seq: int) -> None:
    """Let a stored event take effect on the user's state."""
    match event:
        case UsageRecorded():  # nearly always
            _count(account, event, at, seq)
        case CountersReset():
            _reset(_known(account, event.billing_period), at)
        case PeriodRolled():
            _roll(account, event)
        case PeriodAdded():
            _open(account, event)
            account.closed.append(Period(event.key, event.start, event.end, event.terms))
        case PeriodSealed():
            account.closed = [p for p in account.closed if p.key != event.totals.key]
        case _:
            assert_never(event)
    account.at = at
    account.seq = seq


def logged(account: Account) -> dict[str, int]:
    """Calls ever logged, by provider."""
    calls = dict(account.before)
    if account.current is not None:
        for used in filter(None, (account.current.used, account.current.earlier)):
            for name, (count, _, _) in providers_of(used).items():
                calls[name] = calls.get(name, 0) + count
    return calls


def _known(account: Account, key: str) -> Period:
    period = account.period(key)
    if period is None:
        raise ValueError(f"an event names the period {key!r}, which is not open")
    return period


def _count(account: Account, event: UsageRecorded, at: int, seq: int) -> None:
    period = account.current
    if period is None or period.key != event.billing_period:
        period = _known(account, event.billing_period)
        account.before[event.provider] = account.before.get(event.provider, 0) + 1
    tokens = event.tokens_input + event.tokens_output
    cost = event.cost_nano
    provider = INDEX[event.provider]
    used = period.used
    slot = 3 * provider
    used[slot] += 1
    used[slot + 1] += tokens
    used[slot + 2] += cost
    used[TOTAL_COST] += cost
    if provider in _TEXT:
        used[TEXT_CALLS] += 1
    if WAVESPEED in (event.provider, event.actual):
        used[WAVESPEED_CALLS] += 1
    for counts, name in ((period.actual, event.actual), (period.models, event.model)):
        entry = counts.get(name) or _entry(counts, name)
        entry[0] += 1
        entry[1] += tokens
        entry[2] += cost
    if event.status_code >= 400:
        period.errors += 1
    if event.response_time:
        period.response_micros += round(event.response_time * MICROS_PER_SECOND)
    period.last_updated = at
    for alert in event.alerts:
        period.levels[alert.limit_name] = alert.threshold_percentage
        account.unread.append(Raised(alert, at, seq))


def _entry(counts: dict[str, list[int]], name: str) -> list[int]:
    """Where a name that is not counted yet is counted."""
    if len(counts) >= NAMES_MAX:
        name = OTHER  # one place is kept for all that does not fit by name
    return counts.setdefault(name, [0, 0, 0])


def _reset(period: Period, at: int) -> None:
    earlier = period.earlier or [0] * SLOTS
    period.earlier = [before + now for before, now in zip(earlier, period.used, strict=True)]
    period.used = [0] * SLOTS
    period.actual = {}
    period.models = {}
    period.levels = {}
    period.errors = 0
    period.response_micros = 0
    period.last_updated = at


def _roll(account: Account, event: PeriodRolled) -> None:
    if account.current is not None:
        account.current.announced = True
        account.before = logged(account)
        account.closed.append(account.current)
    _open(account, event)
    account.current = Period(event.key, event.start, event.end, event.terms)


def _open(account: Account, event: PeriodRolled | PeriodAdded) -> None:
    month = event.key[:7]
    account.months[month] = account.months.get(month, 0) + 1


def providers_of(used: list[int]) -> dict[str, tuple[int, int, int]]:
    """Calls, tokens and cost by provider of flat counters, for providers with any use."""
    return {
        name: (used[3 * i], used[3 * i + 1], used[3 * i + 2])
        for i, name in enumerate(PROVIDER_NAMES)
        if any(used[3 * i : 3 * i + 3])
    }
