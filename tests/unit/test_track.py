from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from actors.billing.periods.calendar import AHEAD, GRACE
from actors.billing.state.account import logged
from messages.codec import encode_reply
from messages.errors import RequestError
from messages.stored.errors import UnreadableEvent
from messages.stored.events import (
    CountersReset,
    Event,
    PeriodAdded,
    PeriodRolled,
    PeriodSealed,
    UsageRecorded,
)
from tests.support.meter import NOON, Entry, Meter, micros, nano, plan

DAY = 86_400 * 10**6
MARCH = micros("2026-03-01T00:00:00Z")
APRIL = micros("2026-04-01T00:00:00Z")


def kinds(log: list[Entry]) -> list[str]:
    return [entry.kind for entry in log]


def keys(events: list[Event]) -> list[str]:
    return [event.key for event in events if isinstance(event, PeriodRolled | PeriodAdded)]


def test_a_reply_has_every_field_and_says_what_was_counted() -> None:
    reply = Meter().track("openai", event_id="e-1", tokens_input=1_000, tokens_output=500)
    assert json.loads(encode_reply(reply), parse_float=Decimal) == {
        "usage_logged": True,
        "event_id": "e-1",
        "duplicate": False,
        "cost": Decimal("0.00045"),
        "cost_input": Decimal("0.00015"),
        "cost_output": Decimal("0.0003"),
        "cost_catalog": None,
        "tokens_used": 1_500,
        "billing_period": "2026-03",
        "usage_status": "active",
        "priced": "catalog",
        "provider": "openai",
        "actual_provider_name": "openai",
        "late": False,
        "price_model": "gpt-4o-mini",
        "matched_by": "exact",
        "hold_status": None,
        "late_settle": False,
        "alerts": [],
        "clipped": [],
        "variant_priced": None,
        "tier": None,
        "unpriced": [],
        "seq": 6,
    }


def test_an_ordinary_call_is_stored_without_what_most_calls_have() -> None:
    # Left out are values that are the default itself, not merely equal to it.
    meter = Meter()
    meter.track("openai", tokens_input=1_000, tokens_output=500, endpoint="/v1/chat")
    assert meter.log[-1].body == (
        '{"p":"openai","a":"openai","m":"gpt-4o-mini","b":"2026-03",'
        '"c":450000,"ci":150000,"co":300000,"i":1000,"o":500,"e":"/v1/chat"}'
    )


def test_the_first_event_opens_the_calendar_month_under_the_free_plan() -> None:
    meter = Meter()
    meter.track()
    assert kinds(meter.log) == ["period_rolled", "usage"]
    assert (meter.current.key, meter.current.start, meter.current.end) == ("2026-03", MARCH, APRIL)
    assert meter.current.terms == meter.catalog.free
    assert meter.account.seq == meter.log[-1].seq


def test_the_last_event_of_a_change_carries_its_key_and_the_position_of_its_reply() -> None:
    meter = Meter()
    reply = meter.track(event_id="e-1")
    assert [entry.key for entry in meter.log] == [None, "e-1"]
    assert reply.seq == meter.log[-1].seq


def test_absent_fields_are_logged_with_their_defaults() -> None:
    meter = Meter()
    meter.track("openai")
    event = meter.usage[-1]
    assert (event.endpoint, event.method, event.status_code) == ("", "POST", 200)
    assert (event.tokens_input, event.tokens_output, event.retry_count) == (0, 0, 0)
    assert (event.response_time, event.timestamp) == (0.0, None)
    assert meter.log[-1].personal is None


def test_personal_fields_are_kept_apart_from_the_event() -> None:
    meter = Meter()
    about: dict[str, Any] = {
        "user_agent": "agent-007",
        "ip_address": "192.0.2.7",
        "error_message": "it broke",
        "metadata": {"team": "blue"},
    }
    meter.track(**about)
    entry = meter.log[-1]
    assert entry.personal is not None
    assert json.loads(entry.personal) == about
    assert not any(text in entry.body for text in ("agent-007", "192.0.2.7", "it broke", "blue"))
    meter.track(metadata={})
    assert meter.log[-1].personal is None


def test_track_always_records_also_over_the_limit_and_if_the_plan_allows_no_call() -> None:
    meter = Meter(terms=plan({"openai_calls": 1, "exa_calls": 0}, "free"))
    for _ in range(3):
        assert meter.track("openai").usage_logged
        assert meter.track("exa").usage_logged
    assert meter.stats().total_calls == 6
    assert not meter.enforce("openai").allowed


@pytest.mark.parametrize(
    ("offset", "accepted"),
    [
        (AHEAD, True),
        (AHEAD + 1, False),
        (-GRACE, True),
        (-GRACE - 1, False),
        (10**15, False),
        (-(10**15), False),
    ],
)
def test_a_timestamp_is_at_most_5_minutes_ahead_and_35_days_old(
    offset: int, *, accepted: bool
) -> None:
    meter = Meter()
    if accepted:
        meter.track(timestamp=NOON + offset)
        assert meter.usage[-1].timestamp == NOON + offset
        return
    with pytest.raises(RequestError) as caught:
        meter.track(timestamp=NOON + offset)
    assert (caught.value.code, caught.value.field) == ("timestamp_out_of_range", "timestamp")
    assert meter.log == []


def test_a_timestamp_ahead_of_now_counts_as_now() -> None:
    meter = Meter(at=APRIL - 1)
    reply = meter.track(timestamp=APRIL + AHEAD - 1)
    assert (reply.billing_period, reply.late) == ("2026-03", False)
    assert kinds(meter.log) == ["period_rolled", "usage"]


def test_a_timestamp_within_the_current_period_is_not_late() -> None:
    meter = Meter()
    assert not meter.track(timestamp=MARCH).late
    assert meter.track(timestamp=MARCH - 1).late


def test_a_late_event_counts_in_the_previous_month_and_touches_nothing_current() -> None:
    meter = Meter(at=MARCH + DAY)
    meter.track("gemini", tokens_input=5, cost=1)
    meter.at = APRIL + DAY
    meter.track("gemini", tokens_input=7, cost=Decimal("1.7"))
    used, levels = meter.current.used[:], dict(meter.current.levels)
    assert meter.stats().usage_status == "warning"  # 1.7 of 2 USD
    reply = meter.track("gemini", tokens_input=11, cost=2, timestamp=APRIL - 1)
    assert (reply.billing_period, reply.late) == ("2026-03", True)
    assert (reply.alerts, reply.usage_status) == ((), "warning")
    assert (meter.current.used, meter.current.levels) == (used, levels)
    march = meter.stats("2026-03")
    assert (march.total_calls, march.total_tokens, nano(march.total_cost)) == (2, 16, nano(3))
    assert march.usage_status == "limit_reached"  # on exact values, though nothing fired
    assert march.model_breakdown["gemini-2.5-flash"].calls == 2


def test_a_late_event_adjusts_a_period_that_was_announced_as_closed() -> None:
    meter = Meter(at=MARCH + DAY)
    meter.track(tokens_input=5, cost=1)
    meter.reset()
    meter.track(tokens_input=6, cost=2)
    meter.at = APRIL
    meter.track(tokens_input=1, cost=1, timestamp=APRIL - 1)
    meter.track(tokens_input=1, cost=1, timestamp=APRIL - 2)
    adjusted = [event.adjusted for event in meter.usage]
    # All that the period counted, over its reset too.
    assert adjusted == [None, None, (3, 12, nano(4)), (4, 13, nano(5))]


def test_a_late_event_makes_a_month_known_that_was_slept_through() -> None:
    meter = Meter(at=micros("2026-01-10T00:00:00Z"))
    meter.track()
    meter.at = micros("2026-03-05T00:00:00Z")
    assert keys(meter.wake()) == ["2026-03"]
    reply = meter.track(timestamp=micros("2026-02-20T00:00:00Z"))
    assert (reply.billing_period, reply.late) == ("2026-02", True)
    added = meter.log[-3].event
    assert isinstance(added, PeriodAdded)
    assert (added.start, added.end) == (micros("2026-02-01T00:00:00Z"), MARCH)
    assert added.terms == meter.catalog.free
    again = meter.track(timestamp=micros("2026-02-21T00:00:00Z"))
    assert again.billing_period == "2026-02"
    assert kinds(meter.log)[-2:] == ["usage", "usage"]
    assert [event.adjusted for event in meter.usage[-2:]] == [None, (2, 0, 0)]
    assert meter.stats("2026-02").total_calls == 2


def test_a_late_event_may_lie_in_the_month_before_the_first() -> None:
    meter = Meter(at=micros("2026-03-05T00:00:00Z"))
    reply = meter.track(timestamp=micros("2026-02-20T00:00:00Z"))
    assert (reply.billing_period, reply.late, reply.usage_status) == ("2026-02", True, "active")
    assert kinds(meter.log) == ["period_rolled", "period_added", "period_closed", "usage"]
    assert meter.current.key == "2026-03"
    assert not any(meter.current.used)
    assert meter.reset() is None  # nothing current was counted


def test_a_boundary_opens_the_next_period_once() -> None:
    meter = Meter(at=APRIL - 1)
    meter.track()
    assert meter.wake() == []
    meter.at = APRIL
    (rolled,) = meter.wake()
    assert isinstance(rolled, PeriodRolled)
    assert (rolled.key, rolled.start) == ("2026-04", APRIL)
    assert meter.wake() == []


def test_one_event_passes_however_many_periods_were_slept_through() -> None:
    meter = Meter(at=micros("2025-01-10T00:00:00Z"))
    meter.track(cost=1)
    meter.at = NOON
    (rolled,) = meter.wake()
    assert isinstance(rolled, PeriodRolled)
    assert (rolled.key, rolled.start) == ("2026-03", MARCH)
    assert rolled.closed is not None
    assert (rolled.closed.key, rolled.closed.providers) == ("2025-01", {"openai": (1, 0, nano(1))})
    assert meter.account.months == {"2025-01": 1, "2026-03": 1}


def test_a_user_without_a_log_has_no_boundaries() -> None:
    meter = Meter()
    meter.at = APRIL * 2
    assert meter.wake() == []


def test_a_closed_period_is_sealed_with_its_totals_once_no_late_event_can_reach_it() -> None:
    meter = Meter(at=MARCH)
    meter.track(cost=1)
    may = micros("2026-05-01T00:00:00Z")
    for at, expected in [
        (APRIL, ["period_rolled"]),
        (may, ["period_rolled"]),  # 30 days after its end
        (may + DAY * 31, ["period_sealed", "period_rolled"]),
    ]:
        meter.at = at
        meter.wake()
        assert kinds(meter.log)[-len(expected) :] == expected
    sealed = next(e.event for e in meter.log if e.kind == "period_sealed")
    assert isinstance(sealed, PeriodSealed)
    assert sealed.totals.key == "2026-03"
    assert sealed.totals.providers == {"openai": (1, 0, nano(1))}
    assert meter.account.period("2026-03") is None
    assert [period.key for period in meter.account.closed] == ["2026-04", "2026-05"]


def test_a_period_at_the_edge_of_the_grace_still_takes_late_events() -> None:
    meter = Meter(at=MARCH)
    meter.track()
    meter.at = APRIL + GRACE - 1
    meter.wake()
    assert meter.track(timestamp=APRIL - 1).billing_period == "2026-03"
    assert meter.account.period("2026-03") is not None


def test_time_never_runs_backwards_for_a_user() -> None:
    meter = Meter(at=APRIL)
    meter.track()
    meter.at = APRIL - DAY  # the clock steps back over the boundary
    reply = meter.track()
    assert (reply.billing_period, reply.late) == ("2026-04", False)
    assert [entry.at for entry in meter.log] == [APRIL] * 3


@pytest.mark.parametrize("hold_id", ["h-1", "x" * 256])
def test_a_hold_that_is_not_open_is_charged_all_the_same(hold_id: str) -> None:
    reply = Meter().track(hold_id=hold_id, tokens_input=1_000)
    assert (reply.hold_status, reply.late_settle) == ("unknown", True)
    assert reply.cost > 0


@pytest.mark.parametrize("fields", [{"cost": -1}, {"cost": "1"}, {"cost": 1_000_001}])
def test_a_cost_that_is_no_money_is_refused_and_nothing_is_logged(fields: dict[str, Any]) -> None:
    meter = Meter()
    with pytest.raises(RequestError) as caught:
        meter.track(**fields)
    assert (caught.value.code, caught.value.field) == ("invalid_request", "cost")
    assert meter.log == []


def test_a_reset_starts_everything_current_again_and_keeps_what_was_logged() -> None:
    meter = Meter(terms=plan({"openai_calls": 1}))
    meter.track(tokens_input=5, cost=1, status_code=500, response_time=2)
    reply = meter.reset(reason="renewal", event_id="r-1")
    assert reply is not None
    assert json.loads(encode_reply(reply)) == {
        "reset": True,
        "counters_reset": True,
        "reason": None,
        "billing_period": "2026-03",
        "event_id": "r-1",
        "duplicate": False,
        "seq": meter.account.seq,
    }
    found = meter.stats()
    assert (found.total_calls, found.total_tokens, nano(found.total_cost)) == (0, 0, 0)
    assert (found.avg_response_time, found.error_rate, found.error_count) == (0, 0, 0)
    assert found.usage_status == "active"
    assert found.usage_percentages == {"openai_calls": 0.0}
    assert found.model_breakdown == found.actual_provider_breakdown == {}
    assert meter.current.totals() == (1, 5, nano(1))
    assert logged(meter.account) == {"openai": 1}
    assert meter.enforce().allowed
    meter.track(tokens_input=2, cost=2)
    assert meter.stats().total_calls == 1
    assert meter.current.totals() == (2, 7, nano(3))


def test_counting_goes_by_arrival_so_a_call_after_a_reset_counts() -> None:
    meter = Meter()
    meter.track()
    meter.reset()
    assert not meter.track(timestamp=MARCH).late  # made before the reset
    assert meter.stats().total_calls == 1


def test_if_all_counters_are_zero_nothing_is_reset() -> None:
    meter = Meter()
    assert meter.reset() is None
    meter.track()
    assert meter.reset() is not None
    assert meter.reset() is None
    meter.at = APRIL
    assert meter.reset() is None


def test_two_resets_keep_all_that_was_logged() -> None:
    meter = Meter()
    for cost in (1, 2, 4):
        meter.track(cost=cost)
        meter.reset()
    assert meter.current.totals() == (3, 0, nano(7))
    reasons = [e.event.reason for e in meter.log if isinstance(e.event, CountersReset)]
    assert reasons == [None, None, None]


def test_periods_that_start_in_one_month_are_numbered_together() -> None:
    meter = Meter(terms=plan({}))
    for key in ("2026-03.2", "2026-03.3"):
        half = PeriodRolled(key=key, start=NOON, end=APRIL, terms=plan({}))
        meter._append([half], NOON)
    assert meter.account.months == {"2026-03": 3}
    # If they overlap in time, the one that was opened last counts.
    meter.at = APRIL
    assert meter.track(timestamp=NOON + 1).billing_period == "2026-03.3"
    assert meter.track(timestamp=NOON - 1).billing_period == "2026-03"


def test_an_event_that_names_no_open_period_stops_the_replay() -> None:
    meter = Meter()
    meter.track()
    lost = UsageRecorded(
        provider="openai",
        actual="openai",
        model="m",
        billing_period="1999-01",
        status="active",
        priced="catalog",
    )
    with pytest.raises(UnreadableEvent, match=r"row \d+ \(usage\) .*1999-01"):
        meter._append([lost], NOON)
