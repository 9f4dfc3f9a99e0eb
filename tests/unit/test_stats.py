from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.billing.catalog.provider_changes import put_provider
from actors.billing.catalog.providers import NAMES
from actors.billing.counters.slots import add
from actors.billing.reports import stats as summaries
from actors.billing.state import snapshot as snapshots
from actors.billing.state.apply import apply
from actors.billing.state.snapshot import period_of
from messages.catalog import ProvidersPut
from messages.codec import encode_reply
from messages.reports import Stats, StatsReply
from messages.stored.events import (
    PeriodRolled,
    PeriodSealed,
)
from messages.units import to_datetime
from tests.support.meter import NOON, Meter, micros, nano, plan

DAY = 86_400 * 10**6
APRIL = micros("2026-04-01T00:00:00Z")


def test_a_user_never_seen_has_zeros_and_nothing_is_written() -> None:
    meter = Meter()
    found = json.loads(encode_reply(meter.stats()), parse_float=Decimal)
    assert meter.log == []
    assert set(found) == set(StatsReply.__struct_fields__)
    nothing = {"calls": 0, "tokens": 0, "cost": 0}
    assert found["provider_breakdown"] == {name: {**nothing, "units": {}} for name in NAMES}
    assert len(NAMES) == 14
    plain = {
        "billing_period": "2026-03",
        "period_start": "2026-03-01T00:00:00Z",
        "period_end": "2026-04-01T00:00:00Z",
        "usage_status": "active",
        "total_calls": 0,
        "total_tokens": 0,
        "total_cost": 0,
        "avg_response_time": 0,
        "error_rate": 0,
        "units": {},
        "estimated": {"calls": 0, "tokens": 0, "cost": 0},
        "unpriced_calls": 0,
        "error_count": 0,
        "actual_provider_breakdown": {},
        "model_breakdown": {},
        "alerts": [],
        "held": {**nothing, "open": 0},
        "last_updated": None,
        "seq": 0,
    }
    assert {name: found[name] for name in plain} == plain
    assert set(found["usage_percentages"].values()) == {0}


def test_the_plan_in_force_is_shown_with_every_limit_of_it() -> None:
    limits = Meter().stats().limits
    assert (limits.plan_name, limits.tier) == ("Free", "free")
    assert limits.limits["monthly_cost"] == 2
    assert limits.limits["openai_calls"] == 0
    assert len(limits.limits) == 20
    assert limits.features == ("basic_content_generation", "limited_research")
    shown = Meter(terms=plan({"openai_cost": nano("0.5"), "openai_calls": 3})).stats().limits
    assert shown.limits == {"openai_cost": Decimal("0.5"), "openai_calls": 3}


def test_calls_tokens_and_cost_are_counted_by_provider_actual_provider_and_model() -> None:
    meter = Meter()
    meter.track("openai", model_used="a", tokens_input=1, tokens_output=2, cost=Decimal("0.1"))
    meter.track("video", model_used="veo-3", cost=Decimal("0.2"))
    meter.track("gemini", model_used="a", tokens_input=4, cost=Decimal("0.4"))
    found = meter.stats()
    assert (found.total_calls, found.total_tokens, found.total_cost) == (3, 7, Decimal("0.7"))
    by_provider = {n: (u.calls, u.tokens, u.cost) for n, u in found.provider_breakdown.items()}
    assert by_provider.pop("openai") == (1, 3, Decimal("0.1"))
    assert by_provider.pop("video") == (1, 0, Decimal("0.2"))
    assert by_provider.pop("gemini") == (1, 4, Decimal("0.4"))
    assert set(by_provider.values()) == {(0, 0, Decimal(0))}
    actual = {n: (u.calls, u.cost) for n, u in found.actual_provider_breakdown.items()}
    assert actual == {"openai": (1, Decimal("0.1")), "google": (2, Decimal("0.6"))}
    models = {n: (u.calls, u.tokens) for n, u in found.model_breakdown.items()}
    assert models == {"a": (2, 7), "veo-3": (1, 0)}


def test_at_most_100_names_are_counted_apart_and_the_rest_under_other() -> None:
    meter = Meter(terms=plan({}))
    for n in range(130):
        meter.track("openai", model_used=f"m{n}", actual_provider_name=f"a{n}", cost=1)
    meter.track("openai", model_used="m0", actual_provider_name="a0", cost=1)
    meter.track("openai", model_used="other", actual_provider_name="other", cost=1)
    found = meter.stats()
    for breakdown, letter in ((found.model_breakdown, "m"), (found.actual_provider_breakdown, "a")):
        assert set(breakdown) == {f"{letter}{n}" for n in range(100)} | {"other"}
        assert breakdown["other"].calls == 31
        assert breakdown[f"{letter}0"].calls == 2
        assert sum(usage.calls for usage in breakdown.values()) == found.total_calls == 132
        assert sum(usage.cost for usage in breakdown.values()) == found.total_cost


def test_a_provider_has_its_units_where_its_calls_are_under_an_alias_and_under_other_too() -> None:
    meter = Meter()
    for number in range(102):
        entry = ProvidersPut(id=f"host-{number}", aliases=[f"alias-{number}"])
        meter.catalog.take(put_provider(meter.catalog, entry), meter.catalog.seq + 1)
    for number in range(102):
        meter.track(f"host-{number}", units={"seconds": 2})
        meter.track(f"alias-{number}", units={"seconds": 2})
    meter.track("openai", units={"seconds": 2})
    shown = meter.stats().provider_breakdown
    assert [*shown] == [*NAMES, *[f"host-{number}" for number in range(100)], "other"]
    assert (shown["host-0"].calls, shown["host-0"].units) == (2, {"seconds": 4})
    assert (shown["other"].calls, shown["other"].units) == (4, {"seconds": 8})
    assert all(
        used.units == ({"seconds": used.calls * 2} if used.calls else {}) for used in shown.values()
    )
    loaded = snapshots.decode("alice", snapshots.encode(meter.account))
    assert loaded == meter.account
    assert loaded.current is not None
    event = next(event for event in meter.usage if event.provider == "host-101")
    for account in (loaded, meter.account):
        apply(account, event, meter.at, meter.account.seq + 1)
    assert loaded == meter.account
    assert summaries.summary(loaded.current, seq=0).provider_breakdown["other"].units == {
        "seconds": 10
    }


def test_the_error_rate_is_the_share_of_failed_calls_in_percent() -> None:
    meter = Meter()
    for status in (200, 399, 400, 599, 302, 100, 200):
        meter.track(status_code=status)
    found = meter.stats()
    assert (found.error_count, found.error_rate) == (2, 28.5714)


def test_the_response_time_is_the_mean_of_all_calls_in_seconds() -> None:
    meter = Meter()
    for seconds in (1, 0.5, None, 0.000001):
        meter.track(response_time=seconds)
    assert meter.stats().avg_response_time == 0.375
    meter = Meter()
    meter.track(response_time=86_400)
    assert meter.stats().avg_response_time == 86_400


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=8))
def test_the_total_cost_is_the_exact_sum_of_the_charges(charges: list[int]) -> None:
    meter = Meter(terms=plan({}))
    for nanos in charges:
        meter.track(cost=Decimal(nanos).scaleb(-9))
    assert Fraction(meter.stats().total_cost) == sum(Fraction(n, 10**9) for n in charges)


def test_totals_stay_exact_beyond_what_a_decimal_context_holds() -> None:
    meter = Meter(terms=plan({}))
    meter.track("openai", cost=Decimal("0.000000001"))
    meter.track("exa", cost=Decimal("0.000000001"))
    used = meter.current.used = list(meter.current.used)
    for provider in ("openai", "exa"):
        add(used, meter.current.layout, (provider, 0), (0, 0, 10**40))
        assert nano(meter.stats().provider_breakdown[provider].cost) == 10**40 + 1
    assert nano(meter.stats().total_cost) == 2 * 10**40 + 2


@pytest.mark.parametrize(
    ("used", "status"),
    [
        (0, "active"),
        (799_999_999_999_999, "active"),  # shown as 80.0 %
        (800_000_000_000_000, "warning"),
        (900_000_000_000_000, "warning"),
        (999_999_999_999_999, "warning"),  # shown as 100.0 %
        (10**15, "limit_reached"),
    ],
)
def test_the_status_is_judged_on_exact_values(used: int, status: str) -> None:
    meter = Meter(terms=plan({"monthly_cost": 10**15}))
    assert meter.track(cost=Decimal(used).scaleb(-9)).usage_status == status
    assert meter.stats().usage_status == status
    assert meter.enforce().usage_status == status


def test_any_limit_raises_the_status_soft_ones_too_and_disabled_ones_not() -> None:
    limits = {"ai_text_generation_calls": 100, "openai_calls": 1, "exa_calls": 0}
    meter = Meter(terms=plan(limits, "free"))
    meter.track("exa")
    assert meter.stats().usage_status == "active"
    meter.track("openai")
    assert meter.stats().usage_status == "limit_reached"
    assert meter.stats().usage_percentages == {
        "ai_text_generation_calls": 1.0,
        "openai_calls": 100.0,
    }


@pytest.mark.parametrize(
    ("used", "limit", "percent"),
    [(1, 3, 33.3333), (2, 3, 66.6667), (0, 7, 0.0), (1, 8, 12.5), (7, 2, 350.0), (1, 10**7, 0.0)],
)
def test_percentages_are_shown_with_four_decimals(used: int, limit: int, percent: float) -> None:
    meter = Meter(terms=plan({"openai_tokens": limit}))
    meter.track(tokens_input=used)
    assert meter.stats().usage_percentages == {"openai_tokens": percent}


def test_the_ten_newest_unread_alerts_are_shown_newest_first() -> None:
    meter = Meter(terms=plan({f"{name}_calls": 1 for name in NAMES[:4]}))
    ids: list[str] = []
    for name in NAMES[:4]:
        ids += meter.track(name).alerts
    shown = meter.stats().alerts
    assert [alert.id for alert in shown] == ids[::-1][:10]
    newest = shown[0]
    assert (newest.user_id, newest.seq, newest.created_at) == (
        "alice",
        meter.log[-1].seq,
        to_datetime(NOON),
    )
    assert (newest.is_read, newest.read_at) == (False, None)


def test_the_time_of_the_newest_change_is_shown() -> None:
    meter = Meter()
    meter.track(timestamp=NOON - DAY)
    assert meter.stats().last_updated == to_datetime(NOON)
    meter.at += DAY
    meter.reset()
    assert meter.stats().last_updated == to_datetime(NOON + DAY)
    assert meter.stats().seq == meter.log[-1].seq


def test_a_closed_period_is_shown_while_it_is_in_the_grace() -> None:
    meter = Meter()
    meter.track("gemini", cost=1)
    meter.at = APRIL
    meter.track("gemini", cost=2)
    assert meter.stats("2026-03").total_cost == 1
    assert meter.stats("2026-04") == meter.stats()
    assert meter.stats("2026-03").seq == meter.stats().seq


def test_a_period_that_the_user_does_not_have_is_unknown() -> None:
    meter = Meter()
    for key in ("2026-02", "2026-03.2", "1999-01"):
        ask = Stats(billing_period=key)
        assert summaries.find_period(meter.account, ask, NOON, meter.catalog) is None
    error = summaries.unknown_period("2026-02")
    assert (error.code, error.field) == ("unknown_period", "billing_period")


def test_a_sealed_period_shows_what_it_showed_before_it_was_sealed() -> None:
    meter = Meter()
    meter.track("video", tokens_input=3, cost=Decimal("0.3"), status_code=500, response_time=1.5)
    meter.reset()
    meter.track("gemini", tokens_input=4, cost=Decimal("1.9"), model_used="m")
    meter.at = APRIL
    meter.track("wavespeed", timestamp=APRIL - 1)
    before = meter.stats("2026-03")
    for _ in range(2):
        meter.at += 32 * DAY
        meter.wake()
    sealed = next(e.event for e in meter.log if e.kind == "period_sealed")
    assert isinstance(sealed, PeriodSealed)
    period = period_of(sealed.totals)
    after = summaries.summary(period, seq=before.seq, alerts=before.alerts)
    assert encode_reply(after) == encode_reply(before)
    assert after.usage_status == "warning"
    assert period.totals() == (3, 7, nano("2.2"))


def test_a_closing_period_says_what_its_stats_said() -> None:
    meter = Meter()
    meter.track("gemini", tokens_input=4, cost=Decimal("1.9"))
    before = meter.stats()
    meter.at = APRIL
    (rolled,) = meter.wake()
    assert isinstance(rolled, PeriodRolled)
    assert rolled.closed is not None
    found = summaries.summary(period_of(rolled.closed), seq=before.seq, alerts=before.alerts)
    assert found == before
