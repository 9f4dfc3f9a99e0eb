"""Decide ``track`` and ``reset``: what happened, as events, and what to answer.

Pure: the state, the command, the moment and the catalogue go in; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Final

from msgspec import Struct

from actors.billing.account import ACTIVE, Account, Period, status_of
from actors.billing.alerts import level_of, raised_by
from actors.billing.catalog import Catalog
from actors.billing.limits import Limit
from actors.billing.periods import AHEAD, GRACE, month_of, new_key
from actors.billing.pricing import Charge, charge, check_parts
from actors.billing.recorded import Recorded, Refused
from actors.billing.rolling import current_of, current_or_opened
from messages.codec import money_of, quoted
from messages.commands import CloudTrack, Reset, Track
from messages.errors import RequestError
from messages.events import (
    Alert,
    Counters,
    CountersReset,
    Event,
    PeriodAdded,
    Personal,
    PlanTerms,
    UsageRecorded,
)
from messages.replies import ResetReply
from messages.scalars import ABSENT
from messages.units import to_micros, usd_text


def track(
    account: Account,
    call: Track,
    at: int,
    catalog: Catalog,
    ended: Mapping[str, str] | None = None,
) -> Recorded:
    """Price a call that was made and say in which period it counts.

    Args:
        account: whose call it is.
        call: the call.
        at: now.
        catalog: the prices and plans.
        ended: how holds ended that are not open any more, by id; others are unknown.

    Raises:
        RequestError: ``unknown_provider``, ``invalid_request`` or ``timestamp_out_of_range``.
            Nothing else is refused: the call has happened.
    """
    priced = _price(call, at, catalog)
    current, before = current_or_opened(account, at, catalog)
    added: tuple[Event, ...] = ()
    if min(priced.moment, at) < current.start:
        place, added = _late(account, current, priced, catalog)
    else:
        place = _now(account, current, priced, at)
    settled = _PLAIN_CALL if call.hold_id is None else _settle(account, call.hold_id, at, ended)
    event = _event(call, priced, place, settled)
    return Recorded((*before, *added, event) if before or added else (event,), _personal(call))


def _settle(
    account: Account, hold_id: str, at: int, ended: Mapping[str, str] | None
) -> tuple[str | None, bool]:
    """What becomes of the hold that a call names: its status, and whether it was over before."""
    if account.hold(hold_id, at) is not None:
        return "settled", False
    if account.holds is not None and hold_id in account.holds:
        return "expired", True  # with this event
    return account.ended.get(hold_id) or (ended or {}).get(hold_id, "unknown"), True


def reset(
    account: Account, command: Reset, at: int, catalog: Catalog, key: str
) -> Recorded | Refused:
    """Start the counters of the current period again; refused where all of them are zero."""
    current = account.current
    if current is not None and any(current.used):
        return Recorded((CountersReset(billing_period=current.key, reason=command.reason),))
    return Refused(
        ResetReply(
            reset=False,
            counters_reset=False,
            reason="no_summary",
            billing_period=current_of(account, at, catalog).key,
            event_id=key,
            seq=account.seq,
        )
    )


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


_PLAIN_CALL: Final = (None, False)
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
    late_settle = event.late_settle or event.hold_status not in {None, "settled"}
    alerts = ",".join([quoted(alert.id) for alert in event.alerts])
    return (
        f'"hold_status":{status},"late_settle":{"true" if late_settle else "false"},'
        f'"alerts":[{alerts}]'
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
    found = catalog.price(provider.name, model, min(moment, at))
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
    start, end, terms = _gap(account, current, priced.moment, catalog)
    added = PeriodAdded(key=new_key(start, account.months), start=start, end=end, terms=terms)
    return _Place(added.key, current.status, late=True), (added,)


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


def _event(
    call: Track, priced: _Priced, place: _Place, settled: tuple[str | None, bool]
) -> UsageRecorded:
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
        settled[0],
        place.alerts,
        settled[1],
        call.source if type(call) is CloudTrack else None,
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
