"""``trends`` and ``dashboard``: the user's last periods side by side, and where this one goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from actors.billing.counters.layouts import FIXED, OTHER
from actors.billing.counters.slots import OTHERS_SHOWN_MAX, total_cost
from actors.billing.limits.limits import percentage
from actors.billing.periods.calendar import month_name, months_before
from actors.billing.state.account import Period
from actors.billing.state.tally import NO_TALLY, Amounts
from messages.quantities import quantity
from messages.reports import Projections, ProviderTrend, TrendsReply
from messages.units import MICROS_PER_DAY, round_half_even, usd

MONTHS: Final = 6
"""Periods of a reply by default."""


class Column(NamedTuple):
    """One period of the trends: calls, tokens and cost by provider, and units."""

    start: int
    name: str
    providers: dict[str, tuple[int, int, int]]
    units: Amounts


def trends(periods: Iterable[Period], current: Period, months: int, seq: int) -> TrendsReply:
    """The last ``months`` periods, oldest first, ``current`` last.

    All that was logged counts, also before a reset. Periods in which nothing was written, and
    calendar months before the first, are zeros. Providers are the 14 and the first
    `OTHERS_SHOWN_MAX` others, the rest is `OTHER`.
    """
    columns = _columns([*periods, current], months)
    totals = [_sums(column) for column in columns]
    columns = _bounded(columns)
    names = sorted({name for column in columns for name in column.providers})
    units = sorted({unit for column in columns for unit in column.units})
    return TrendsReply(
        periods=tuple(column.name for column in columns),
        total_calls=tuple(calls for calls, _, _ in totals),
        total_cost=tuple(usd(cost) for _, _, cost in totals),
        total_tokens=tuple(tokens for _, tokens, _ in totals),
        provider_trends={name: _trend(name, columns) for name in names},
        unit_trends={
            unit: tuple(quantity(column.units.get(unit, 0)) for column in columns) for unit in units
        },
        seq=seq,
    )


def newest(periods: Sequence[Period], months: int) -> Sequence[Period]:
    """Of periods in the order of their opening, those that `trends` of this many months can show.

    A user may have a thousand closed ones. Before the last ones to begin none is shown.
    """
    if len(periods) <= months:
        return periods
    starts = [period.start for period in periods]
    order = sorted(range(len(periods)), key=starts.__getitem__)  # of equal ones the last opened
    return [periods[place] for place in sorted(order[-months:])]


def projections(period: Period, at: int) -> Projections:
    """What the period's cost comes to at this rate: cost x length / elapsed, at least 24 h."""
    cost, limit = total_cost(period.used), period.table.by_name.get("monthly_cost")
    elapsed = max(at - period.start, MICROS_PER_DAY)
    projected = round_half_even(cost * (period.end - period.start), elapsed)
    return Projections(
        projected_cost=usd(projected),
        cost_limit=None if limit is None else usd(limit.value),
        projected_percentage=(
            None if limit is None or limit.disabled else percentage(projected, limit.value)
        ),
        days_left=-(-(period.end - at) // MICROS_PER_DAY),
    )


def _columns(periods: list[Period], months: int) -> list[Column]:
    known = [_column(period) for period in periods[:-1]]
    # The order of opening decides between periods that start together; the current one is last.
    known.sort(key=lambda column: column.start)
    current = periods[-1]
    known.append(_column(current))
    starts = {column.start for column in known}
    slept = {start for period in periods for start in period.slept} - starts
    known[:-1] = sorted(
        [*known[:-1], *(Column(start, month_name(start), {}, {}) for start in slept)],
        key=lambda column: column.start,
    )
    missing = months - len(known)
    if missing > 0:
        before = months_before(known[0].start, missing)
        known[:0] = [Column(start, month_name(start), {}, {}) for start in before]
    return known[-months:]


def _column(period: Period) -> Column:
    units = (period.tally or NO_TALLY).logged
    return Column(period.start, period.key, period.logged(), units)


def _bounded(columns: list[Column]) -> list[Column]:
    """The columns with one sum for the providers beyond the 14 that came last, if they are many."""
    others = dict.fromkeys(
        [name for column in columns for name in column.providers if name not in FIXED]
    )
    rest = frozenset(list(others)[OTHERS_SHOWN_MAX:])
    return [_with_rest(column, rest) for column in columns] if rest else columns


def _with_rest(column: Column, rest: frozenset[str]) -> Column:
    summed = [counts for name, counts in column.providers.items() if name in rest]
    if not summed:
        return column
    shown = {name: counts for name, counts in column.providers.items() if name not in rest}
    calls, tokens, cost = zip(*summed, strict=True)
    return column._replace(providers={**shown, OTHER: (sum(calls), sum(tokens), sum(cost))})


def _sums(column: Column) -> tuple[int, int, int]:
    parts = column.providers.values()
    return sum(p[0] for p in parts), sum(p[1] for p in parts), sum(p[2] for p in parts)


def _trend(name: str, columns: list[Column]) -> ProviderTrend:
    found = [column.providers.get(name, (0, 0, 0)) for column in columns]
    return ProviderTrend(
        calls=tuple(calls for calls, _, _ in found),
        cost=tuple(usd(cost) for _, _, cost in found),
        tokens=tuple(tokens for _, tokens, _ in found),
    )
