"""Decide ``track`` and ``reset``: what happened, as events, and what to answer.

Pure: the state, the command, the moment and the catalogue go in; nothing is changed.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.billing.alerts import level_of, raised_by
from actors.billing.catalog import Catalog
from actors.billing.limits import Limit
from actors.billing.periods import AHEAD, GRACE, month_of, new_key
from actors.billing.pricing import Charge, charge, check_parts
from actors.billing.snapshot import totals_of
from actors.billing.state import Account, Period, status_of
from messages.codec import money_of, quoted
from messages.commands import ABSENT, Reset, Track
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
from messages.units import to_micros, usd_text

_BOOL: Final = {False: "false", True: "true"}


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
    first takes three times as long, and every call that is tracked waits for it.
    """
    catalog = event.cost_catalog_nano
    hold = event.hold_status
    late_settle = event.hold_id is not None and hold != "settled"
    return (
        f'{{"usage_logged":true,"event_id":{quoted(key)},"duplicate":{_BOOL[duplicate]},'
        f'"cost":{usd_text(event.cost_nano)},"cost_input":{usd_text(event.cost_input_nano)},'
        f'"cost_output":{usd_text(event.cost_output_nano)},'
        f'"cost_catalog":{"null" if catalog is None else usd_text(catalog)},'
        f'"tokens_used":{event.tokens_input + event.tokens_output},'
        f'"billing_period":"{event.billing_period}","usage_status":"{event.status}",'
        f'"priced":"{event.priced}","provider":"{event.provider}",'
        f'"actual_provider_name":{quoted(event.actual)},"late":{_BOOL[event.late]},'
        f'"hold_status":{"null" if hold is None else quoted(hold)},'
        f'"late_settle":{_BOOL[late_settle]},'
        f'"alerts":[{",".join([quoted(alert.id) for alert in event.alerts])}],"seq":{seq}}}'
    ).encode()


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
        provider=provider.name,
        actual=provider.actual_of(call.actual_provider_name, call.model_used, call.endpoint),
        model=model,
        moment=moment,
        tokens=(call.tokens_input or 0) + (call.tokens_output or 0),
        cost=cost,
        billed=billed,
        total=cost.total if billed is None else billed,
        how=found.how if billed is None else "caller",
        version=found.price.version,
    )


def _now(account: Account, current: Period, priced: _Priced, at: int) -> _Place:
    """Count in the current period: which limits cross which thresholds by it."""
    crossings: list[tuple[Limit, int, int]] = []
    levels = current.levels
    added = (1, priced.tokens, priced.total)
    for limit in current.table.touched(priced.provider, priced.actual):
        used = current.used[limit.slot] + added[limit.unit]
        if used < limit.warns_at or limit.disabled:
            continue
        before = levels.get(limit.name, 0)
        if level_of(used, limit.value) > before:
            crossings.append((limit, before, used))
    if not crossings:
        return _Place(current.key, current.status)
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
    return UsageRecorded(
        provider=priced.provider,
        actual=priced.actual,
        model=priced.model,
        billing_period=place.period,
        status=place.status,
        priced=priced.how,
        price_version=priced.version,
        cost_nano=priced.total,
        cost_input_nano=0 if by_caller else priced.cost.input,
        cost_output_nano=0 if by_caller else priced.cost.output,
        cost_catalog_nano=priced.cost.total if by_caller else None,
        tokens_input=call.tokens_input or 0,
        tokens_output=call.tokens_output or 0,
        tokens_cache_read=call.tokens_cache_read,
        tokens_cache_write=call.tokens_cache_write,
        tokens_reasoning=call.tokens_reasoning,
        search_count=call.search_count,
        image_count=call.image_count,
        page_count=call.page_count,
        endpoint=call.endpoint or "",
        method="POST" if call.method is None else call.method,
        response_time=call.response_time or 0.0,
        status_code=200 if call.status_code is None else call.status_code,
        request_size=call.request_size,
        response_size=call.response_size,
        retry_count=call.retry_count or 0,
        timestamp=None if call.timestamp is None else priced.moment,
        late=place.late,
        adjusted=place.adjusted,
        hold_id=call.hold_id,
        hold_status=None if call.hold_id is None else "unknown",
        alerts=place.alerts,
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
