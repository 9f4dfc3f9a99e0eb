from __future__ import annotations

import json
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.billing.catalog.prices import price
from messages.admission import EnforceReply, LimitState
from messages.codec import encode_reply
from messages.errors import InvalidRequest
from messages.units import to_datetime
from tests.support.meter import Meter, catalog_of, micros, nano, plan

UNIT = {"openai_calls": "calls", "openai_tokens": "tokens", "openai_cost": "cost"}
REASON = {
    "openai_calls": "call_limit_reached",
    "openai_tokens": "token_limit_exceeded",
    "openai_cost": "cost_limit_reached",
}
DEAR = price(  # 0.000002, 0.000005 and 0.01 USD
    "openai", "m", {"input_token": 2_000_000, "output_token": 5_000_000, "request": 10**10}
)


def metered(used: int, **limits: int) -> Meter:
    """A user with so many calls, tokens and USD of openai used."""
    meter = Meter(terms=plan(limits))
    for call in range(used):
        meter.track("openai", tokens_input=1, cost=1, event_id=f"k{call}")
    return meter


def only(reply: EnforceReply) -> LimitState:
    (state,) = reply.limits
    return state


@pytest.mark.parametrize("name", UNIT)
@pytest.mark.parametrize(
    ("used", "requested", "allowed"),
    [
        (0, 0, True),
        (0, 5, True),
        (0, 6, False),
        (4, 0, True),
        (4, 1, True),
        (4, 2, False),
        (5, 0, False),
        (5, 1, False),
        (6, 0, False),
        (6, 1, False),
    ],
)
def test_a_hard_limit_allows_up_to_its_value_and_nothing_once_it_is_used_up(
    name: str, used: int, requested: int, *, allowed: bool
) -> None:
    value = nano(5) if UNIT[name] == "cost" else 5
    asked: dict[str, Any] = {"calls": 1, "tokens_requested": 0, "cost_requested": 0}
    field = {"calls": "calls", "tokens": "tokens_requested", "cost": "cost_requested"}[UNIT[name]]
    if field == "calls" and requested == 0:
        return  # a call cannot ask for no calls
    decided = metered(used, **{name: value}).enforce(**{**asked, field: requested})
    assert decided.allowed is allowed
    assert decided.violated == (() if allowed else (name,))
    assert decided.reason_code == ("within_limits" if allowed else REASON[name])
    assert (decided.message == "Within limits") is allowed
    assert (name in decided.message) is not allowed


def test_nothing_requested_is_given_or_derived_and_needs_room_left() -> None:
    meter = Meter(catalog_of(), terms=plan({"openai_cost": nano(1), "openai_tokens": 10}))
    assert meter.enforce().allowed  # an estimate of no tokens is no cost
    meter.track(cost=1)
    assert meter.enforce().violated == ("openai_cost",)
    assert meter.enforce(cost_requested=0).violated == ("openai_cost",)
    meter = Meter(catalog_of(), terms=plan({"openai_cost": nano(1), "openai_tokens": 10}))
    meter.track(tokens_input=10, cost=0)
    assert meter.enforce().violated == ("openai_tokens",)


@pytest.mark.parametrize(
    ("asked", "usd"),
    [
        ({}, "0.01"),
        ({"calls": 3}, "0.03"),
        ({"tokens_requested": 1_000}, "0.015"),
        ({"tokens_requested": 1_000, "calls": 2}, "0.025"),
        ({"tokens_requested": 1_000, "cost_requested": 0}, "0"),
        ({"calls": 2, "cost_requested": 7}, "7"),
        ({"model_used": "unknown", "tokens_requested": 1_000}, "0.001"),
    ],
)
def test_a_cost_that_is_not_given_is_derived_from_the_price(
    asked: dict[str, Any], usd: str
) -> None:
    meter = Meter(catalog_of(DEAR), terms=plan({"monthly_cost": nano(100)}))
    state = only(meter.enforce("openai", **{"model_used": "m", **asked}))
    assert nano(state.requested) == nano(usd)


def test_a_limit_state_adds_up_and_is_exact() -> None:
    meter = Meter(terms=plan({"openai_cost": nano("0.3"), "openai_calls": 3, "openai_tokens": 7}))
    meter.track(tokens_input=2, tokens_output=3, cost=Decimal("0.1"))
    reply = meter.enforce(tokens_requested=4, cost_requested=Decimal("0.000000001"), calls=2)
    found = {state.name: state for state in reply.limits}
    assert set(found) == {"openai_calls", "openai_tokens", "openai_cost"}
    for state in found.values():
        assert state.unit == UNIT[state.name]
        assert state.window == "billing_period"
        assert state.held == 0
        assert state.remaining == state.limit - state.used - state.held
        assert state.resets_at == to_datetime(micros("2026-04-01T00:00:00Z"))
    calls, tokens, cost = (found[name] for name in UNIT)
    assert (calls.limit, calls.used, calls.requested, calls.percentage) == (3, 1, 2, 33.3333)
    assert (tokens.limit, tokens.used, tokens.requested, tokens.percentage) == (7, 5, 4, 71.4286)
    assert (nano(cost.used), nano(cost.requested), nano(cost.remaining)) == (10**8, 1, 2 * 10**8)
    assert reply.violated == ("openai_tokens",)


def test_remaining_may_be_negative_because_track_always_records() -> None:
    meter = metered(7, openai_calls=5)
    state = only(meter.enforce())
    assert (state.remaining, state.percentage) == (-2, 140.0)


@given(st.integers(0, 20), st.integers(1, 20), st.integers(1, 20))
def test_the_rule_is_used_plus_requested_within_the_limit(used: int, ask: int, limit: int) -> None:
    meter = metered(0, openai_calls=limit)
    meter.current.used[3] = used  # openai's calls
    decided = meter.enforce(calls=ask)
    assert decided.allowed is (used + ask <= limit)
    assert only(decided).percentage == pytest.approx(float(Fraction(used * 100, limit)), abs=5.1e-5)


@pytest.mark.parametrize(
    ("limits", "reason", "names"),
    [
        (("calls", "tokens", "cost"), "call_limit_reached", 3),
        (("cost", "tokens"), "token_limit_exceeded", 2),
        (("cost",), "cost_limit_reached", 1),
    ],
)
def test_the_reason_is_the_first_that_applies_and_every_violated_limit_is_named(
    limits: tuple[str, ...], reason: str, names: int
) -> None:
    values = {f"openai_{unit}": nano(1) if unit == "cost" else 1 for unit in limits}
    meter = metered(1, **values)
    decided = meter.enforce(tokens_requested=1, cost_requested=1)
    assert (decided.allowed, decided.reason_code) == (False, reason)
    assert set(decided.violated) == set(values)
    assert len(decided.violated) == names


def test_a_disabled_limit_refuses_always_and_before_every_other_reason() -> None:
    limits = {"openai_calls": 1, "openai_tokens": 0, "monthly_cost": nano(1)}
    meter = Meter(terms=plan(limits, "free"))
    decided = meter.enforce(cost_requested=0)
    assert (decided.reason_code, decided.violated) == ("disabled_by_plan", ("openai_tokens",))
    assert "openai_tokens" in decided.message
    meter.track(cost=1)
    decided = meter.enforce(cost_requested=1)
    assert decided.reason_code == "disabled_by_plan"
    assert set(decided.violated) == {"openai_calls", "openai_tokens", "monthly_cost"}
    state = next(s for s in decided.limits if s.name == "openai_tokens")
    assert (state.kind, state.percentage, state.limit) == ("hard", None, 0)


@pytest.mark.parametrize(
    ("name", "amounts"),
    [
        ("openai_calls", r"openai_calls of 5 calls .* 5 used, 1 requested"),
        ("openai_tokens", r"openai_tokens of 5 tokens .* 5 used, 2 requested"),
        ("openai_cost", r"openai_cost of 5(\.0+)? USD .* 5(\.0+)? used, 0\.50* requested"),
    ],
)
def test_the_message_says_how_much_of_what_is_used_and_requested(name: str, amounts: str) -> None:
    meter = metered(5, **{name: nano(5) if UNIT[name] == "cost" else 5})
    decided = meter.enforce(tokens_requested=2, cost_requested=Decimal("0.5"))
    assert re.search(amounts, decided.message), decided.message


def test_soft_limits_are_shown_and_never_refuse() -> None:
    meter = Meter(terms=plan({"ai_text_generation_calls": 100, "openai_calls": 1}))
    meter.track()
    meter.track()
    decided = meter.enforce(calls=50)
    assert decided.allowed
    assert decided.violated == ()
    kinds = {state.name: state.kind for state in decided.limits}
    assert kinds == {"ai_text_generation_calls": "hard", "openai_calls": "soft"}
    assert decided.usage_status == "limit_reached"


def test_only_limits_that_the_call_touches_decide() -> None:
    meter = Meter(terms=plan({"openai_calls": 1, "exa_calls": 5}))
    meter.track("openai")
    assert not meter.enforce("openai").allowed
    exa = meter.enforce("exa")
    assert exa.allowed
    assert only(exa).name == "exa_calls"


@pytest.mark.parametrize(
    ("left", "seconds"),
    [(1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (86_400_000_000, 86_400)],
)
def test_retry_after_is_the_time_to_the_reset_in_whole_seconds_rounded_up(
    left: int, seconds: int
) -> None:
    meter = metered(1, openai_calls=1)
    meter.at = meter.current.end - left
    assert meter.enforce().retry_after == seconds


@pytest.mark.parametrize(
    ("tier", "limits", "calls"),
    [
        ("free", {"openai_calls": 0}, 1),  # disabled
        ("pro", {"openai_calls": 5}, 6),  # more than the whole limit
        ("pro", {"openai_calls": 5, "openai_tokens": 1}, 6),
    ],
)
def test_there_is_no_retry_after_if_the_reset_would_not_help(
    tier: str, limits: dict[str, int], calls: int
) -> None:
    meter = Meter(terms=plan(limits, tier))
    meter.track(tokens_input=1)
    decided = meter.enforce(calls=calls, tokens_requested=1)
    assert not decided.allowed
    assert decided.retry_after is None


def test_an_allowed_call_has_no_retry_after() -> None:
    assert metered(1, openai_calls=5).enforce().retry_after is None


def test_after_the_boundary_the_new_period_decides() -> None:
    meter = Meter()
    for _ in range(3):
        meter.track("stability")
    assert not meter.enforce("stability").allowed
    meter.at = meter.current.end
    decided = meter.enforce("stability")
    assert decided.allowed
    assert decided.billing_period == "2026-04"


def test_a_user_never_seen_is_judged_by_the_free_plan_and_nothing_is_written() -> None:
    meter = Meter()
    assert meter.enforce("gemini", calls=50).allowed
    assert not meter.enforce("gemini", calls=51).allowed
    assert meter.enforce("openai").reason_code == "disabled_by_plan"
    assert meter.enforce("gemini").seq == 0
    assert meter.enforce("gemini").billing_period == "2026-03"
    assert meter.log == []


def test_enforce_sees_the_track_before_it_and_changes_nothing() -> None:
    meter = metered(0, openai_calls=10)
    for used in range(5):
        decided = meter.enforce()
        assert (only(decided).used, decided.seq) == (used, meter.account.seq)
        assert meter.enforce() == decided
        meter.track()


@pytest.mark.parametrize("cost", [-1, Decimal("1e-10"), 1_000_001, "1", True])
def test_a_requested_cost_that_is_no_money_is_refused_by_its_field(cost: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Meter().enforce(cost_requested=cost)
    assert caught.value.field == "cost_requested"


def test_a_reply_has_every_field_and_counts_stay_integers() -> None:
    meter = Meter(terms=plan({"openai_calls": 5, "monthly_cost": nano("2.5")}))
    found = json.loads(encode_reply(meter.enforce()), parse_float=Decimal)
    assert set(found) == {
        *("allowed", "message", "reason_code", "provider", "actual_provider_name", "violated"),
        *("limits", "usage_status", "billing_period", "retry_after", "seq"),
        *("priced", "price_model", "matched_by", "unpriced"),
    }
    by_name = {state["name"]: state for state in found["limits"]}
    assert set(by_name["openai_calls"]) == {
        *("name", "unit", "window", "kind", "limit", "used", "held", "requested", "remaining"),
        *("percentage", "resets_at"),
    }
    counts = [by_name["openai_calls"][f] for f in ("limit", "used", "held", "requested")]
    assert all(type(count) is int for count in counts)
    assert by_name["monthly_cost"]["limit"] == Decimal("2.5")
    assert by_name["monthly_cost"]["resets_at"] == "2026-04-01T00:00:00Z"
