"""Decide ``track`` and ``reset``: what happened, as events, and what to answer.

Pure: the state, the command, the moment and the catalogue go in; nothing is changed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from msgspec import Struct

from actors.billing.alerts import level_of, raised_by
from actors.billing.catalog import Catalog
from actors.billing.limits import Limit
from actors.billing.periods import AHEAD, GRACE, month_of, new_key
from actors.billing.pricing import Charge, charge, check_parts
from actors.billing.snapshot import totals_of
from actors.billing.state import ACTIVE, Account, Period, status_of
from messages.codec import money_of, quoted
from messages.commands import Reset, Track
from messages.errors import RequestError
from messages.events import (
    Alert,
    Counters,
    CountersReset,
    Event,
    PeriodAdded,
    PeriodRolled,
    PeriodSealed,
    Personal,
    UsageRecorded,
)
from messages.replies import ResetReply
from messages.scalars import ABSENT
from messages.units import to_micros, usd_text


class Recorded(Struct, frozen=True):
    """A change that happened: its events in order, the last of which carries the key."""

    events: tuple[Event, ...]
    personal: Personal | None = None


def due(account: Account, at: int, catalog: Catalog) -> tuple[Event, ...]:
    """The events of a boundary that has passed, none where none has.

    However many periods were slept through, one event opens the current one. Closed periods
    that no late event can reach any more are sealed beside it.
    """
    current = account.current
    if current is None or at < current.end:
        return ()
    sealed = tuple(
        PeriodSealed(totals=totals_of(period))
        for period in account.closed
        if period.end + GRACE <= at
    )
    return (*sealed, opening(account, at, catalog))


def opening(account: Account, at: int, catalog: Catalog) -> PeriodRolled:
    """The event that makes the period of ``at`` the current one."""
    start, end = month_of(at)
    return PeriodRolled(
        key=new_key(start, account.months),
        start=start,
        end=end,
        terms=catalog.free,
        closed=totals_of(account.current) if account.current else None,
    )


def track(account: Account, call: Track, at: int, catalog: Catalog) -> Recorded:
    """Price a call that was made and say in which period it counts.

    Raises:
        RequestError: ``unknown_provider``, ``invalid_request`` or ``timestamp_out_of_range``.
            Nothing else is refused: the call has happened.
    """
    priced = _price(call, at, catalog)
    before: tuple[Event, ...] = ()
    current = account.current
    if current is None:
        rolled = opening(account, at, catalog)
        current = Period(rolled.key, rolled.start, rolled.end, rolled.terms)
        before = (rolled,)
    if min(priced.moment, at) < current.start:
        place, added = _late(account, current, priced, catalog)
        before += added
    else:
        place = _now(account, current, priced, at)
    event = _event(call, priced, place)
    return Recorded((*before, event) if before else (event,), _personal(call))


def reset(account: Account, command: Reset) -> Recorded | None:
    """Start the counters of the current period again; None where all of them are zero."""
    current = account.current
    if current is None or not any(current.used):
        return None
    return Recorded((CountersReset(billing_period=current.key, reason=command.reason),))


def track_reply(event: UsageRecorded, key: str, seq: int, *, duplicate: bool = False) -> bytes:
    """What ``track`` answers for an event of the log, now or when its key comes again.

    It is a `TrackReply`, encoded. Written out here, because to make the struct and its decimals
    first takes twice as long, and every call that is tracked waits for it.
    """
    catalog = event.cost_catalog_nano
    about = _about(
        event.billing_period, event.status, event.priced, event.provider, event.actual, event.late
    )
    plain = event.hold_id is None and event.hold_status is None and not event.alerts
    rest = _PLAIN if plain else _rest(event)
    return (
        f'{{"usage_logged":true,"event_id":{quoted(key)},'
        f'"duplicate":{"true" if duplicate else "false"},"cost":{usd_text(event.cost_nano)},'
        f'"cost_input":{usd_text(event.cost_input_nano)},'
        f'"cost_output":{usd_text(event.cost_output_nano)},'
        f'"cost_catalog":{"null" if catalog is None else usd_text(catalog)},'
        f'"tokens_used":{event.tokens_input + event.tokens_output},{about},{rest},"seq":{seq}}}'
    ).encode()


_PLAIN: Final = '"hold_status":null,"late_settle":false,"alerts":[]'


@lru_cache(maxsize=4096)
def _about(period: str, status: str, priced: str, provider: str, actual: str, late: bool) -> str:
    """The part of a reply that is the same for very many calls."""
    return (
        f'"billing_period":"{period}","usage_status":"{status}","priced":"{priced}",'
        f'"provider":"{provider}","actual_provider_name":{quoted(actual)},'
        f'"late":{"true" if late else "false"}'
    )


def _rest(event: UsageRecorded) -> str:
    status = "null" if event.hold_status is None else quoted(event.hold_status)
    late_settle = event.hold_id is not None and event.hold_status != "settled"
    alerts = ",".join([quoted(alert.id) for alert in event.alerts])
    return (
        f'"hold_status":{status},"late_settle":{"true" if late_settle else "false"},'
        f'"alerts":[{alerts}]'
    )


def reset_reply(event: CountersReset, key: str, seq: int, *, duplicate: bool = False) -> ResetReply:
    """What ``reset`` answers for an event of the log."""
    return ResetReply(
        reset=True,
        counters_reset=True,
        reason=None,
        billing_period=event.billing_period,
        event_id=key,
        duplicate=duplicate,
        seq=seq,
    )


class _Priced(Struct, frozen=True, gc=False):
    provider: str
    actual: str
    model: str
    moment: int
    tokens: int
    cost: Charge
    billed: int | None
    total: int
    how: str
    version: int


class _Place(Struct, frozen=True, gc=False):
    """Where an event counts and what that does."""

    period: str
    status: str
    alerts: tuple[Alert, ...] = ()
    late: bool = False
    adjusted: Counters | None = None


def _price(call: Track, at: int, catalog: Catalog) -> _Priced:
    provider = catalog.providers.find(call.provider)
    check_parts(call)
    moment = at
    if call.timestamp is not None:
        moment = to_micros(call.timestamp)
        if not at - GRACE <= moment <= at + AHEAD:
            raise RequestError(
                "timestamp_out_of_range",
                "timestamp is more than 5 minutes ahead or more than 35 days old",
                field="timestamp",
            )
    model = call.model_used or provider.default_model
    found = catalog.price(provider.name, model)
    billed = None if call.cost is ABSENT else money_of(call.cost, "cost")
    cost = charge(found.price, call)
    return _Priced(
        provider.name,
        provider.actual_of(call.actual_provider_name, call.model_used, call.endpoint),
        model,
        moment,
        (call.tokens_input or 0) + (call.tokens_output or 0),
        cost,
        billed,
        cost.total if billed is None else billed,
        found.how if billed is None else "caller",
        found.price.version,
    )


def _now(account: Account, current: Period, priced: _Priced, at: int) -> _Place:
    """Count in the current period: which limits cross which thresholds by it."""
    crossings: list[tuple[Limit, int, int]] = []
    levels = current.levels
    added = (1, priced.tokens, priced.total)
    counters = current.used
    for slot, unit, warns_at, limit in current.table.watched(priced.provider, priced.actual):
        used = counters[slot] + added[unit]
        if used < warns_at:
            continue
        before = levels.get(limit.name, 0)
        if level_of(used, limit.value) > before:
            crossings.append((limit, before, used))
    if not crossings:
        return _Place(current.key, status_of(levels) if levels else ACTIVE)
    alerts = raised_by(
        crossings, user=account.user, period=current.key, arming=f"{account.seq}:{at}"
    )
    risen = {alert.limit_name: alert.threshold_percentage for alert in alerts}
    return _Place(current.key, status_of(levels | risen), alerts)


def _late(
    account: Account, current: Period, priced: _Priced, catalog: Catalog
) -> tuple[_Place, tuple[Event, ...]]:
    """Count in an earlier period, which becomes known by this event where it never was."""
    # Where periods overlap in time, the one that was opened last counts.
    for period in reversed(account.closed):
        if period.start <= priced.moment < period.end:
            calls, tokens, cost = period.totals()
            counts = (calls + 1, tokens + priced.tokens, cost + priced.total)
            adjusted = counts if period.announced else None
            return _Place(period.key, current.status, late=True, adjusted=adjusted), ()
    start, end = month_of(priced.moment)
    added = PeriodAdded(
        key=new_key(start, account.months), start=start, end=end, terms=catalog.free
    )
    return _Place(added.key, current.status, late=True), (added,)


def _event(call: Track, priced: _Priced, place: _Place) -> UsageRecorded:
    by_caller = priced.billed is not None
    # In the order of the fields: with keywords it takes three times as long.
    return UsageRecorded(
        priced.provider,
        priced.actual,
        priced.model,
        place.period,
        place.status,
        priced.how,
        priced.version,
        priced.total,
        0 if by_caller else priced.cost.input,
        0 if by_caller else priced.cost.output,
        priced.cost.total if by_caller else None,
        call.tokens_input or 0,
        call.tokens_output or 0,
        call.tokens_cache_read,
        call.tokens_cache_write,
        call.tokens_reasoning,
        call.search_count,
        call.image_count,
        call.page_count,
        call.endpoint or "",
        "POST" if call.method is None else call.method,
        call.response_time or 0.0,
        200 if call.status_code is None else call.status_code,
        call.request_size,
        call.response_size,
        call.retry_count or 0,
        None if call.timestamp is None else priced.moment,
        place.late,
        place.adjusted,
        call.hold_id,
        None if call.hold_id is None else "unknown",
        place.alerts,
    )


def _personal(call: Track) -> Personal | None:
    if (
        call.user_agent is None
        and call.ip_address is None
        and call.error_message is None
        and not call.metadata
    ):
        return None
    return Personal(
        user_agent=call.user_agent,
        ip_address=call.ip_address,
        error_message=call.error_message,
        metadata=call.metadata or None,
    )
