"""Decide ``track`` and ``reset``: what happened, as events, and what to answer.

Pure: the state, the command, the moment and the catalogue go in; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from msgspec.structs import astuple

from actors.billing.catalog.catalog import Catalog, ResolvedModel
from actors.billing.catalog.charging import (
    BEHIND,
    NO_UNITS,
    NOTHING,
    UNITS,
    Charge,
    charge,
    check_parts,
)
from actors.billing.catalog.price_list import EXACT, Priced
from actors.billing.catalog.rates import INPUT, OUTPUT
from actors.billing.limits.limits import Limit
from actors.billing.limits.thresholds import raised_by
from actors.billing.periods.calendar import AHEAD, GRACE, month_of, new_key
from actors.billing.periods.rollover import opened
from actors.billing.state.account import Account, Period, status_of
from actors.billing.state.apply import count_in
from actors.billing.state.snapshot import period_of, totals_of
from actors.billing.usage.charged import charged, with_found
from messages.codec import billed_of
from messages.dimensions import Counts
from messages.errors import RequestError
from messages.scalars import ABSENT
from messages.stored.catalog import PlanTerms
from messages.stored.detail import UsageDetail
from messages.stored.events import (
    NO_TIME,
    Alert,
    Counters,
    Event,
    PeriodAdded,
    PeriodClosed,
    UsageRecorded,
)
from messages.units import to_micros
from messages.usage import COUNTS, DETAIL, SIDE_FIELDS, UNSAID, ConvertedTrack, Track

NO_EVENTS: Final[tuple[Event, ...]] = ()
NO_ALERTS: Final[tuple[Alert, ...]] = ()
NO_HOLD: Final = (None, False)
NOT_CONVERTED: Final[tuple[str | None, tuple[str, ...]]] = (None, ())


def track(
    account: Account,
    call: Track,
    at: int,
    catalog: Catalog,
    ended: Mapping[str, str] | None = None,
    ahead: int = 0,
) -> tuple[tuple[Event, ...], UsageRecorded]:
    """Price a call that was made and say in which period it counts.

    Args:
        account: whose call it is.
        call: the call.
        at: now, in the user's time.
        catalog: the prices and plans.
        ended: how holds ended that are not open any more, by id; others are unknown.
        ahead: how far the user's time is ahead of the clock. A call that says when it was made
            was made as long ago in the user's time; its price is that of the clock's time.

    Returns:
        What opens the periods that it needs, mostly nothing, and the call.

    Raises:
        RequestError: ``unknown_provider``, ``unknown_unit``, ``invalid_request`` or
            ``timestamp_out_of_range``. Nothing else is refused: the call has happened.
    """
    route = catalog.route(call.provider, call.model_used, call.actual_provider_name, call.endpoint)
    fields = astuple(call)
    said: Counts = fields[COUNTS]
    moment = at if call.timestamp is None else _moment(call.timestamp, at, ahead)
    charged_at = min(at, moment)
    priced_at = charged_at - ahead
    found = route.found
    if not found.since <= priced_at < found.until:
        found = catalog.priced(route, priced_at)
    detail = route.detail
    plain = route.plain and found.price.plain and said[UNITS] == NO_UNITS
    if plain and fields[DETAIL] == UNSAID:  # nearly always
        if said[BEHIND] != NOTHING:
            check_parts(said)
        cost = charge(found.price, said)
    else:
        said, found, cost, detail = charged(call, said, route, priced_at, catalog)
    billed, rounded = (None, False) if call.cost is ABSENT else billed_of(call.cost)
    if found.matched_by != EXACT:
        detail = with_found(detail, found, billed=billed is not None)
    tokens = (said[INPUT] or 0) + (said[OUTPUT] or 0)
    counts = (1, tokens, cost[0] if billed is None else billed)

    current, before = account.current, NO_EVENTS
    if current is None:
        current, before = opened(account, at, catalog)
    settled = NO_HOLD if call.hold_id is None else _settle(account, call.hold_id, at, ended)
    converted = NOT_CONVERTED
    if rounded or type(call) is not Track:
        converted = _converted(call, rounded=rounded)
    if charged_at < current.start:
        period, adjusted, added = _late(account, current, charged_at, counts, catalog)
        place = (period.key, current.status, moment - ahead, True, adjusted, NO_ALERTS)
        event = _event(call, said, route, found, (cost, billed), place, settled, converted, detail)
        closed = () if period.announced else (_closed_with(period, event, at),)
        return (*before, *added, *closed), event
    status, alerts = _count(account, current, route, counts, at)
    place = (current.key, status, moment - ahead, False, None, alerts)
    return before, _event(
        call, said, route, found, (cost, billed), place, settled, converted, detail
    )


def _converted(call: Track, *, rounded: bool) -> tuple[str | None, tuple[str, ...]]:
    """The source of a CloudEvent, and what is not as it was sent."""
    source, clipped = NOT_CONVERTED
    if isinstance(call, ConvertedTrack):
        source, clipped = call.source, call.clipped
    if rounded:
        clipped = tuple([name for name in SIDE_FIELDS if name == "cost" or name in clipped])
    return source, clipped


_Place = tuple[str, str, int, bool, Counters | None, tuple[Alert, ...]]
"""Period, status, moment, whether it is late, that period's totals, alerts."""


def _event(
    call: Track,
    said: Counts,
    route: ResolvedModel,
    found: Priced,
    charged: tuple[Charge, int | None],
    place: _Place,
    settled: tuple[str | None, bool],
    converted: tuple[str | None, tuple[str, ...]],
    detail: UsageDetail | None,
) -> UsageRecorded:
    (cost, cost_input, cost_output), billed = charged
    key, status, moment, late, adjusted, alerts = place
    tokens_input, tokens_output, cache_read, cache_write, reasoning, searches, images, pages = said
    response_time: Any = call.response_time  # as `NO_TIME`
    # In the order of the fields: with keywords it takes three times as long, and half as long
    # again with the counts as they are, behind a star.
    return UsageRecorded(
        route.provider,
        route.actual,
        route.model,
        key,
        status,
        found.how if billed is None else "caller",
        found.price.version,
        cost if billed is None else billed,
        cost_input if billed is None else 0,
        cost_output if billed is None else 0,
        None if billed is None else cost,
        tokens_input or 0,
        tokens_output or 0,
        cache_read,
        cache_write,
        reasoning,
        searches,
        images,
        pages,
        call.endpoint or "",
        "POST" if call.method is None else call.method,
        response_time or NO_TIME,
        200 if call.status_code is None else call.status_code,
        call.request_size,
        call.response_size,
        call.retry_count or 0,
        None if call.timestamp is None else moment,
        late,
        adjusted,
        call.hold_id,
        settled[0],
        alerts,
        settled[1],
        converted[0],
        converted[1],
        detail,
    )


def _settle(
    account: Account, hold_id: str, at: int, ended: Mapping[str, str] | None
) -> tuple[str | None, bool]:
    """The end of the hold that a call names: its status, and whether it was over before."""
    if account.hold(hold_id, at) is not None:
        return "settled", False
    if account.holds is not None and hold_id in account.holds:
        return "expired", True  # with this event
    return account.ended.get(hold_id) or (ended or {}).get(hold_id, "unknown"), True


def _moment(timestamp: datetime, at: int, ahead: int) -> int:
    """When a call was made, in the user's time.

    Raises:
        RequestError: ``timestamp_out_of_range``.
    """
    moment = to_micros(timestamp) + ahead
    if not at - GRACE <= moment <= at + AHEAD:
        raise RequestError(
            "timestamp_out_of_range",
            "timestamp is more than 5 minutes ahead or more than 35 days old",
            field="timestamp",
        )
    return moment


def _count(
    account: Account, current: Period, route: ResolvedModel, counts: Counters, at: int
) -> tuple[str, tuple[Alert, ...]]:
    """Count in the current period: the status after it, and which thresholds it crosses."""
    used = current.used
    crossings: list[tuple[Limit, int, int]] | None = None
    for slot, unit, next_at, limit in current.armed(route.touch):
        try:
            after = used[slot] + counts[unit]
        except IndexError:  # it is where the layout says
            after = limit.of(used, current.layout) + counts[unit]
        if after >= next_at:
            crossings = crossings or []
            crossings.append((limit, current.levels.get(limit.name, 0), after))
    if crossings is None:
        return current.status, NO_ALERTS
    alerts = raised_by(
        crossings, user=account.user, period=current.key, arming=f"{account.seq}:{at}"
    )
    risen = {alert.limit_name: alert.threshold_percentage for alert in alerts}
    return status_of(current.levels | risen), alerts


def _late(
    account: Account, current: Period, moment: int, counts: Counters, catalog: Catalog
) -> tuple[Period, Counters | None, tuple[Event, ...]]:
    """Count in an earlier period, which this event makes known if it was not known.

    It, its totals after this if its end was published, and what makes it known.
    """
    # If periods overlap in time, the one that was opened last counts.
    for period in reversed(account.closed):
        if period.start <= moment < period.end:
            calls, tokens, cost = period.totals()
            adjusted = (calls + counts[0], tokens + counts[1], cost + counts[2])
            return period, adjusted if period.announced else None, NO_EVENTS
    start, end, terms = _gap(account, current, moment, catalog)
    added = PeriodAdded(key=new_key(start, account.months), start=start, end=end, terms=terms)
    return Period(added.key, start, end, terms), None, (added,)


def _closed_with(period: Period, event: UsageRecorded, at: int) -> PeriodClosed:
    """What publishes a period that was over before anybody was told of it, with this call."""
    counted = period_of(totals_of(period))  # the state changes by `apply` alone
    count_in(counted, event, at)
    return PeriodClosed(totals=totals_of(counted))


def _gap(
    account: Account, current: Period, moment: int, catalog: Catalog
) -> tuple[int, int, PlanTerms]:
    """The period of a moment in which nothing was written so far: start, end and terms."""
    known = [*account.closed, current]
    for period in known:
        starts = (*period.slept, period.start)
        for start, end in pairwise(starts):
            if start <= moment < end:
                return start, end, period.terms
    # Before the first: calendar months, as far as no known period is in the way.
    start, end = month_of(moment)
    first = [period.slept[0] if period.slept else period.start for period in known]
    end = min(end, *(begin for begin in first if begin > moment))
    start = max([start, *(period.end for period in known if period.end <= moment)])
    return start, end, catalog.free
