"""Replay equals live: through the stored bytes, from the empty state and from any snapshot.

A random history of one user is metered, and beside it a model that keeps plain lists of what
was called and judges it with fractions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.billing.catalog.catalog import Catalog
from actors.billing.catalog.providers import Provider
from actors.billing.limits.limits import table_of
from actors.billing.limits.thresholds import level_of_all
from actors.billing.periods.calendar import GRACE
from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account, logged
from actors.billing.state.apply import apply
from messages.codec import encode_event
from messages.stored.errors import Unreadable
from messages.stored.events import (
    KIND,
    Event,
    PeriodRolled,
    PeriodSealed,
)
from messages.usage import TrackReply
from tests.support.meter import Entry, Meter, catalog_of, micros, nano, plan

DAY = 86_400 * 10**6
START = micros("2026-01-20T10:00:00Z")
TEXT = {"gemini", "openai", "anthropic", "mistral", "vllm"}
OTHERS = (
    Provider(id="vllm", name="vllm", served_by="rack", groups=("ai_text_generation",)),
    Provider(id="runpod", name="runpod", served_by="wavespeed", aliases=("pods",)),
)
LIMITS = {
    "ai_text_generation_calls": 6,
    "openai_calls": 3,
    "gemini_tokens": 1_000,
    "exa_calls": 0,
    "video_calls": 4,
    "wavespeed_calls": 3,
    "openai_cost": nano(2),
    "monthly_cost": nano(3),
    "vllm_tokens": 1_000,
    "runpod_calls": 4,
    "vllm_cost": nano(2),
}


def catalog() -> Catalog:
    """The free plan with `LIMITS`, and providers beyond the 14."""
    found = catalog_of(free=LIMITS)
    for provider in OTHERS:
        found.providers.put(provider)
    return found


class Called(NamedTuple):
    """What one call counts."""

    provider: str
    actual: str
    tokens: int
    cost: int


class Model:
    """All calls by period: since the last reset, and ever."""

    def __init__(self) -> None:
        self.since: dict[str, list[Called]] = defaultdict(list)
        self.ever: dict[str, list[Called]] = defaultdict(list)
        self.fired: dict[str, set[tuple[str, int]]] = defaultdict(set)

    def track(self, reply: TrackReply) -> None:
        charged = Fraction(reply.cost) * 10**9
        assert charged.denominator == 1
        call = Called(
            reply.provider, reply.actual_provider_name, reply.tokens_used, charged.numerator
        )
        self.since[reply.billing_period].append(call)
        self.ever[reply.billing_period].append(call)

    def reset(self, key: str) -> None:
        self.since[key] = []
        self.fired[key] = set()

    def totals(self, key: str) -> tuple[int, int, int]:
        calls = self.ever[key]
        return len(calls), sum(c.tokens for c in calls), sum(c.cost for c in calls)

    def reached(self, key: str) -> set[tuple[str, int]]:
        """Every threshold that a limit in force has reached."""
        return {
            (name, threshold)
            for name, limit in LIMITS.items()
            for threshold in (80, 90, 100)
            if limit and Fraction(used(name, self.since[key]) * 100, limit) >= threshold
        }

    def status(self, key: str) -> str:
        highest = max((threshold for _, threshold in self.reached(key)), default=0)
        return "limit_reached" if highest == 100 else "warning" if highest else "active"


def used(limit: str, calls: Iterable[Called]) -> int:
    """What a limit has counted, by its name (contract, section 5)."""
    if limit == "monthly_cost":
        return sum(call.cost for call in calls)
    if limit == "ai_text_generation_calls":
        return sum(call.provider in TEXT for call in calls)
    if limit == "wavespeed_calls":
        return sum("wavespeed" in (call.provider, call.actual) for call in calls)
    provider, _, unit = limit.rpartition("_")
    own = [call for call in calls if call.provider == provider]
    return {
        "calls": len(own),
        "tokens": sum(call.tokens for call in own),
        "cost": sum(call.cost for call in own),
    }[unit]


TRACKS: dict[str, st.SearchStrategy[Any]] = {
    "provider": st.sampled_from(
        [*("openai", "gemini", "exa", "video", "wavespeed", "huggingface"), *("vllm", "pods")]
    ),
    "tokens_input": st.none() | st.integers(0, 900),
    "tokens_output": st.none() | st.integers(0, 90),
    "cost": st.none() | st.integers(0, 2 * 10**9).map(lambda n: Decimal(n).scaleb(-9)),
    "model_used": st.none() | st.sampled_from(["", "gpt-4o", "veo-3", "unheard-of"]),
    "status_code": st.none() | st.sampled_from([200, 429, 500]),
    "response_time": st.none() | st.floats(0, 100),
    "metadata": st.none() | st.just({"k": "v"}),
    "age": st.none() | st.integers(-5 * 60, 35 * 86_400),
}
steps = st.lists(
    st.one_of(
        st.fixed_dictionaries(TRACKS),
        st.fixed_dictionaries(TRACKS),
        st.just("reset"),
        st.sampled_from([1, DAY, 9 * DAY, 28 * DAY, 36 * DAY, 100 * DAY, -DAY]),
    ),
    min_size=1,
    max_size=24,
)


def check(meter: Meter, model: Model) -> None:
    """What holds after every step."""
    account = meter.account
    if account.current is None:
        return
    for period in [*account.closed, account.current]:
        assert period.totals() == model.totals(period.key)
        found = meter.stats(period.key)
        assert found.usage_status == model.status(period.key)
        assert Fraction(found.total_cost) * 10**9 == sum(c.cost for c in model.since[period.key])
        for name, value in LIMITS.items():
            if value:
                percent = Fraction(used(name, model.since[period.key]) * 100, value)
                assert found.usage_percentages[name] == pytest.approx(float(percent), abs=5.1e-5)
    current = account.current
    assert max(current.levels.values(), default=0) == level_of_all(
        current.used, current.layout, table_of(current.terms)
    )
    assert model.fired[current.key] == model.reached(current.key)
    for state in meter.enforce("openai").limits:
        assert state.remaining == state.limit - state.used - state.held


def run(script: list[Any]) -> tuple[Meter, Model, dict[int, bytes]]:
    """Meter a script; also the live state's bytes by how many rows they reflect."""
    meter, model = Meter(catalog(), at=START), Model()
    live: dict[int, bytes] = {0: snapshots.encode(meter.account)}
    for step in script:
        if step == "reset":
            if meter.reset() is not None:
                model.reset(meter.current.key)
        elif isinstance(step, int):
            meter.at += step
            meter.wake()
        else:
            fields = dict(step)
            age = fields.pop("age")
            meter.wake()
            timestamp = None if age is None else meter.now - age * 10**6
            reply = meter.track(**fields, timestamp=timestamp)
            model.track(reply)
            for alert in meter.usage[-1].alerts:
                crossed = (alert.limit_name, alert.threshold_percentage)
                assert crossed not in model.fired[alert.billing_period]
                model.fired[alert.billing_period].add(crossed)
            assert reply.late == (reply.billing_period != meter.current.key)
        check(meter, model)
        live[len(meter.log)] = snapshots.encode(meter.account)
    return meter, model, live


def replay(account: Account, rows: list[Entry], events: list[Event]) -> Account:
    for row, event in zip(rows, events, strict=True):
        apply(account, event, row.at, row.seq)
    return account


@settings(max_examples=250)
@given(steps)
def test_replay_equals_live_from_the_empty_state_and_from_every_snapshot(script: list[Any]) -> None:
    meter, _, live = run(script)
    rows = meter.log
    events = [row.event for row in rows]  # decoded from the bytes of the log
    final = live[len(rows)]
    replayed = Account("alice")
    for count in range(len(rows) + 1):
        body = snapshots.encode(replayed)
        if count in live:
            assert body == live[count]
        restored = replay(snapshots.decode("alice", body), rows[count:], events[count:])
        assert snapshots.encode(restored) == final
        if count < len(rows):
            replay(replayed, rows[count : count + 1], events[count : count + 1])


@settings(max_examples=100)
@given(steps)
def test_announced_and_sealed_totals_add_up_to_the_single_charges(script: list[Any]) -> None:
    meter, model, _ = run(script)
    account = meter.account
    kept = {period.key: period.totals() for period in account.closed}
    if account.current is not None:
        kept[account.current.key] = account.current.totals()
    for row in meter.log:
        event = row.event
        if isinstance(event, PeriodSealed):
            assert event.totals.key not in kept
            assert event.totals.end + GRACE <= row.at
            kept[event.totals.key] = snapshots.period_of(event.totals).totals()
    assert kept == {key: model.totals(key) for key in kept}
    assert set(model.ever) <= set(kept)  # no charge is lost, none is in two periods
    assert sum(logged(account).values()) == sum(calls for calls, _, _ in kept.values())


@settings(max_examples=100)
@given(steps)
def test_every_event_survives_its_bytes(script: list[Any]) -> None:
    meter, _, _ = run(script)
    for row in meter.log:
        assert encode_event(row.event) == row.body
        assert row.kind == KIND[type(row.event)]
    assert [row.at for row in meter.log] == sorted(row.at for row in meter.log)


def test_a_restored_user_goes_on_like_one_that_never_left() -> None:
    def go_on(meter: Meter) -> tuple[list[Entry], bytes]:
        for _ in range(3):
            meter.track("openai", cost=1)
        meter.at += 40 * DAY
        meter.track("openai", timestamp=meter.at - 20 * DAY)
        meter.reset()
        meter.track("video")
        return meter.log[-9:], snapshots.encode(meter.account)

    stayed, left = (Meter(catalog(), at=START) for _ in range(2))
    for meter in (stayed, left):
        meter.track("openai", cost=Decimal("1.5"))
        meter.reset()
        meter.track("wavespeed")
    left.account = snapshots.decode("alice", snapshots.encode(left.account))
    assert go_on(left) == go_on(stayed)


def test_calls_served_by_wavespeed_before_a_reset_survive_a_snapshot() -> None:
    meter = Meter(catalog(), at=START)
    meter.track("wavespeed")
    meter.reset()
    meter.track("wavespeed")
    assert snapshots.decode("alice", snapshots.encode(meter.account)) == meter.account


def test_names_that_are_counted_together_stay_so_over_a_snapshot() -> None:
    meter = Meter(terms=plan({}))
    for n in range(130):
        meter.track(model_used=f"m{n}", actual_provider_name=f"a{n}")
    body = snapshots.encode(meter.account)
    again = snapshots.decode("alice", body)
    assert snapshots.encode(again) == body
    assert again.current is not None
    assert again.current.models == meter.current.models
    assert len(again.current.models) == len(again.current.actual) == 101


def test_a_user_who_was_never_seen_has_a_snapshot_too() -> None:
    body = snapshots.encode(Account("alice"))
    assert snapshots.encode(snapshots.decode("alice", body)) == body


def test_users_on_one_plan_share_its_terms_in_memory() -> None:
    meter = Meter()
    meter.track()
    body = snapshots.encode(meter.account)
    one, other = (snapshots.decode("alice", body) for _ in range(2))
    assert one.current is not None
    assert other.current is not None
    assert one.current.terms is other.current.terms


def test_a_snapshot_that_was_cut_or_changed_anywhere_or_is_another_s_is_an_error() -> None:
    meter = Meter()
    meter.track(model_used="\u00fc")
    body = snapshots.encode(meter.account)
    for cut in range(len(body)):
        with pytest.raises(Unreadable):
            snapshots.decode("alice", body[:cut])
        changed = body[:cut] + bytes([body[cut] ^ 1]) + body[cut + 1 :]
        with pytest.raises(Unreadable):
            snapshots.decode("alice", changed)
    with pytest.raises(Unreadable, match="not as it was written"):
        snapshots.decode("bob", body)


def test_the_first_event_of_every_log_opens_a_period() -> None:
    meter, _, _ = run([40 * DAY, "reset", {**dict.fromkeys(TRACKS), "provider": "openai"}])
    assert isinstance(meter.log[0].event, PeriodRolled)


@pytest.mark.parametrize(
    ("calls", "status"), [(7, "active"), (8, "warning"), (10, "limit_reached")]
)
def test_a_restored_user_stands_where_the_live_one_does(calls: int, status: str) -> None:
    meter = Meter(terms=plan({"openai_calls": 10}))
    for _ in range(calls):
        meter.track("openai")
    assert meter.stats().usage_status == meter.enforce("gemini").usage_status == status
    meter.account = snapshots.decode("alice", snapshots.encode(meter.account))
    assert meter.stats().usage_status == meter.enforce("gemini").usage_status == status
    raised = [len(meter.track("openai").alerts) for _ in range(12 - calls)]
    assert raised == [int(number in {8, 9, 10}) for number in range(calls + 1, 13)]
