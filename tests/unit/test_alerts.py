from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.billing.limits.thresholds import level_of
from messages.stored.events import (
    Alert,
)
from messages.usage import TrackReply
from tests.support.meter import Meter, nano, plan

BIG = 10**15


def raised(meter: Meter) -> list[tuple[str, int]]:
    """Limit and threshold of each alert of the newest event, in order."""
    return [(a.limit_name, a.threshold_percentage) for a in meter.usage[-1].alerts]


def all_alerts(meter: Meter) -> list[Alert]:
    return [alert for event in meter.usage for alert in event.alerts]


def track(meter: Meter, times: int, **fields: Any) -> TrackReply:
    return [meter.track("openai", **fields) for _ in range(times)][-1]


@pytest.mark.parametrize(
    ("used", "limit", "level"),
    [
        (0, 1, 0),
        (1, 1, 100),
        (79, 100, 0),
        (80, 100, 80),
        (89, 100, 80),
        (90, 100, 90),
        (99, 100, 90),
        (100, 100, 100),
        (10**6, 100, 100),
        (BIG * 80 // 100 - 1, BIG, 0),  # 79.9999999999999 %: a float would round it up
        (BIG * 80 // 100, BIG, 80),
        (BIG * 90 // 100 - 1, BIG, 80),
        (BIG - 1, BIG, 90),
        (10**30 - 1, 10**30, 90),
        (2, 3, 0),
        (4, 5, 80),
        (9, 10, 90),
    ],
)
def test_a_level_is_judged_on_exact_values(used: int, limit: int, level: int) -> None:
    assert level_of(used, limit) == level


@given(st.integers(0, 10**18), st.integers(1, 10**18))
@example(8 * 10**17 - 1, 10**18)
def test_the_level_is_the_highest_threshold_reached(used: int, limit: int) -> None:
    percent = Fraction(used * 100, limit)
    assert level_of(used, limit) == max(t for t in (0, 80, 90, 100) if percent >= t)


def test_each_threshold_fires_once() -> None:
    meter = Meter(terms=plan({"openai_calls": 20}))
    fired = {}
    for call in range(1, 31):
        reply = meter.track("openai")
        if reply.alerts:
            fired[call] = raised(meter)
    assert fired == {
        16: [("openai_calls", 80)],
        18: [("openai_calls", 90)],
        20: [("openai_calls", 100)],
    }


def test_one_event_that_crosses_several_raises_each_the_highest_last() -> None:
    meter = Meter(terms=plan({"openai_calls": 1, "openai_tokens": 100, "monthly_cost": nano(10)}))
    reply = meter.track("openai", tokens_input=95, cost=9)
    thresholds = [threshold for _, threshold in raised(meter)]
    assert thresholds == sorted(thresholds)
    assert set(raised(meter)) == {
        *(("openai_calls", threshold) for threshold in (80, 90, 100)),
        *(("openai_tokens", threshold) for threshold in (80, 90)),
        *(("monthly_cost", threshold) for threshold in (80, 90)),
    }
    assert reply.alerts == tuple(alert.id for alert in all_alerts(meter))
    assert len(set(reply.alerts)) == 7


def test_thresholds_that_one_event_crossed_are_not_raised_by_the_next() -> None:
    meter = Meter(terms=plan({"openai_tokens": 100}))
    meter.track("openai", tokens_input=95)
    assert raised(meter) == [("openai_tokens", 80), ("openai_tokens", 90)]
    meter.track("openai", tokens_input=4)
    assert raised(meter) == []
    meter.track("openai", tokens_input=1)
    assert raised(meter) == [("openai_tokens", 100)]


def test_a_hair_below_a_threshold_raises_nothing() -> None:
    meter = Meter(terms=plan({"monthly_cost": nano(1_000_000)}))
    meter.track("openai", cost=799_999)
    meter.track("openai", cost=Decimal("0.999999"))
    assert meter.stats().usage_percentages == {"monthly_cost": 80.0}  # as shown, rounded
    assert all_alerts(meter) == []
    assert meter.track("openai", cost=0).usage_status == "active"
    assert meter.track("openai", cost=Decimal("0.000001")).usage_status == "warning"
    assert raised(meter) == [("monthly_cost", 80)]


def test_soft_limits_alert_and_disabled_and_unlimited_ones_never_do() -> None:
    limits = {"ai_text_generation_calls": 100, "openai_calls": 1, "exa_calls": 0}
    meter = Meter(terms=plan(limits, "free"))
    meter.track("exa")
    assert raised(meter) == []
    meter.track("openai")
    assert raised(meter) == [("openai_calls", t) for t in (80, 90, 100)]
    meter = Meter(terms=plan({"exa_calls": 0}))
    meter.track("exa")
    assert raised(meter) == []


@pytest.mark.parametrize(
    ("threshold", "kind", "severity"),
    [
        (80, "usage_warning", "info"),
        (90, "usage_warning", "warning"),
        (100, "limit_reached", "error"),
    ],
)
def test_an_alert_says_what_was_crossed_by_how_much(
    threshold: int, kind: str, severity: str
) -> None:
    meter = Meter(terms=plan({"openai_calls": 10, "monthly_cost": nano("2.5")}))
    track(meter, 10, cost=Decimal("0.25"))
    counted, cost = (
        next(
            a
            for a in all_alerts(meter)
            if (a.limit_name, a.threshold_percentage) == (name, threshold)
        )
        for name in ("openai_calls", "monthly_cost")
    )
    for alert in (counted, cost):
        assert (alert.type, alert.severity) == (kind, severity)
        assert alert.billing_period == "2026-03"
        assert alert.limit_name in alert.message
        reached = "Limit reached" if threshold == 100 else f"{threshold}% used"
        assert alert.title == f"{reached}: {alert.limit_name.replace('_', ' ')}"
    assert (counted.unit, counted.provider) == ("calls", "openai")
    assert (counted.used, counted.limit) == (threshold // 10, 10)
    assert f"{threshold // 10} of 10 calls" in counted.message
    assert (cost.unit, cost.provider) == ("cost", None)
    assert (cost.used, cost.limit) == (nano(threshold) // 40, nano("2.5"))
    assert "of 2.5 USD" in cost.message


def test_a_reset_arms_every_threshold_again_with_new_ids() -> None:
    meter = Meter(terms=plan({"openai_calls": 1, "openai_tokens": 10}))
    first = meter.track("openai", tokens_input=10).alerts
    assert meter.track("openai").alerts == ()
    meter.reset()
    second = meter.track("openai", tokens_input=9).alerts
    assert len(first) == 6
    assert len(second) == 5
    assert set(first).isdisjoint(second)


def test_a_new_period_arms_every_threshold_again_with_new_ids() -> None:
    meter = Meter()
    march = [meter.track("stability").alerts for _ in range(3)][-1]
    meter.at = meter.current.end
    april = [meter.track("stability").alerts for _ in range(3)][-1]
    assert len(march) == len(april) == 3
    assert set(march).isdisjoint(april)
    assert {alert.billing_period for alert in all_alerts(meter)[3:]} == {"2026-04"}


def test_the_same_events_give_the_same_ids_and_other_users_get_others() -> None:
    one, again, other = (Meter(terms=plan({"openai_calls": 1})) for _ in range(3))
    other.account.user = "bob"
    assert one.track("openai").alerts == again.track("openai").alerts
    assert set(other.track("openai").alerts).isdisjoint(a.id for a in all_alerts(one))


def test_every_id_of_a_long_history_is_unique() -> None:
    meter = Meter(terms=plan({"openai_calls": 2, "exa_calls": 3, "monthly_cost": nano(1)}))
    for step in range(60):
        meter.track("openai" if step % 2 else "exa", cost=Decimal("0.3"))
        if step % 7 == 6:
            meter.reset()
    ids = [alert.id for alert in all_alerts(meter)]
    assert len(ids) == len(set(ids)) > 50


def test_the_status_of_a_reply_counts_what_its_own_event_crossed() -> None:
    meter = Meter(terms=plan({"openai_calls": 10, "exa_calls": 1}))
    assert track(meter, 7).usage_status == "active"
    assert track(meter, 1).usage_status == "warning"
    assert track(meter, 1).usage_status == "warning"
    assert track(meter, 1).usage_status == "limit_reached"
    assert track(meter, 1).usage_status == "limit_reached"
    assert meter.enforce("gemini").usage_status == "limit_reached"
    meter.reset()
    assert meter.enforce("gemini").usage_status == "active"


def test_beyond_a_thousand_the_oldest_unread_alert_counts_as_read() -> None:
    meter = Meter(terms=plan({"openai_calls": 1}))
    for _ in range(334):
        meter.track("openai")
        meter.reset()
    newest = [alert.id for alert in all_alerts(meter)]
    assert len(newest) == 1002
    assert list(meter.account.unread) == newest[2:]
    assert [alert.id for alert in meter.stats().alerts] == newest[:-11:-1]
