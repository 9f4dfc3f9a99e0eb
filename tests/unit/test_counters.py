"""The counters of a period: exact at any size, shared if they can be, the same when restored."""

from __future__ import annotations

import gc
import weakref
from array import array
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.billing.catalog.providers import NAMES
from actors.billing.counters import layouts
from actors.billing.counters.layouts import NO_NAMES, STEPS_KEPT, layout_of, with_names
from actors.billing.counters.slots import NUMBER_MAX, of_providers, slots_of, total_cost
from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account, Period
from actors.billing.state.apply import apply
from messages.codec import decode_event, encode_event
from messages.stored.events import (
    CountersReset,
    Event,
    PeriodRolled,
    UsageRecorded,
)
from tests.support.meter import NOON, Meter, micros, plan

OPENED = PeriodRolled(
    key="2026-03",
    start=micros("2026-03-01T00:00:00Z"),
    end=micros("2026-04-01T00:00:00Z"),
    terms=plan({}),
)
RESET = CountersReset(billing_period="2026-03", reason="")


def usage(
    cost: int = 0,
    tokens: int = 0,
    provider: str = "openai",
    actual: str = "openai",
    model: str = "m",
) -> UsageRecorded:
    """A call as it is stored."""
    return UsageRecorded(
        provider=provider,
        actual=actual,
        model=model,
        billing_period="2026-03",
        status="active",
        priced="catalog",
        cost_nano=cost,
        tokens_input=tokens,
    )


def counted(events: Sequence[Event]) -> tuple[Account, Period]:
    """What a user is after these events in an open period."""
    account = Account("alice")
    for seq, event in enumerate([OPENED, *events], 1):
        apply(account, event, NOON, seq)
    assert account.current is not None
    return account, account.current


def restored(account: Account) -> Account:
    """The account from its snapshot."""
    return snapshots.decode("alice", snapshots.encode(account))


def kinds(period: Period) -> tuple[type, type]:
    """What its counters, and those before its last reset, are held in."""
    return type(period.used), type(period.earlier)


amounts = st.sampled_from([0, 1, 2**32, 2**63, NUMBER_MAX - 1, NUMBER_MAX, 2**64, 10**40])
calls = st.builds(
    usage,
    cost=amounts,
    tokens=amounts,
    provider=st.sampled_from(["openai", "exa", "wavespeed", "vllm", "runpod"]),
    actual=st.sampled_from(["openai", "exa", "elsewhere"]),
    model=st.sampled_from(["m", "n", ""]),
)


@settings(max_examples=300)
@given(st.lists(st.lists(calls, min_size=1, max_size=6), max_size=3), st.lists(calls, max_size=6))
def test_counters_are_exact_at_any_size(
    before: list[list[UsageRecorded]], since: list[UsageRecorded]
) -> None:
    past: list[Event] = []
    for events in before:
        past += [*events, RESET]
    account, period = counted([*past, *since])
    every = [event for event in (*past, *since) if isinstance(event, UsageRecorded)]

    def sums(of: list[UsageRecorded]) -> tuple[int, int, int]:
        return len(of), sum(e.tokens_input for e in of), sum(e.cost_nano for e in of)

    by_provider = of_providers(period.used, period.layout)
    for name in ("openai", "exa", "wavespeed", "vllm", "runpod"):
        expected = sums([e for e in since if e.provider == name])
        assert by_provider.get(name, (0, 0, 0)) == expected
        assert period.logged().get(name, (0, 0, 0)) == sums(
            [event for event in every if event.provider == name]
        )
    others = dict.fromkeys(e.provider for e in since if e.provider not in NAMES)
    assert list(by_provider) == [*NAMES, *others]  # in the order in which they came
    assert total_cost(period.used) == sums(since)[2]
    for attribute, found in (("actual", period.actual), ("model", period.models)):
        names = list(dict.fromkeys(getattr(event, attribute) for event in since))
        assert list(found) == names  # in the order in which they came
        for name in names:
            assert found[name] == sums([e for e in since if getattr(e, attribute) == name])
    assert period.totals() == sums(every)
    assert restored(account) == account


def test_counters_are_an_array_until_a_number_does_not_fit_and_again_after_a_reset() -> None:
    _, period = counted([usage(NUMBER_MAX)])
    assert type(period.used) is array
    account, period = counted([usage(NUMBER_MAX), usage(1)])
    assert kinds(period) == (list, type(None))
    assert total_cost(period.used) == 2**64
    apply(account, RESET, NOON, 9)
    assert kinds(period) == (array, dict)
    assert restored(account) == account


def test_each_number_of_a_call_may_be_the_one_that_does_not_fit() -> None:
    most = usage(tokens=NUMBER_MAX, provider="openai", actual="a", model="m")
    for other in (
        usage(tokens=1, provider="openai", actual="b", model="n"),
        usage(tokens=1, provider="exa", actual="a", model="n"),
        usage(tokens=1, provider="exa", actual="b", model="m"),
    ):
        account, period = counted([most, other])
        assert sum(tokens for _, tokens, _ in period.actual.values()) == 2**64
        assert sum(tokens for _, tokens, _ in period.models.values()) == 2**64
        assert sum(tokens for _, tokens, _ in period.logged().values()) == 2**64
        assert restored(account) == account


def test_the_price_of_one_call_may_be_larger_than_an_array_holds() -> None:
    meter = Meter(terms=plan({}))
    meter.account, _ = counted([usage(10**40), usage(3, model="n")])
    assert meter.stats().model_breakdown["m"].cost * 10**9 == 10**40
    assert total_cost(meter.current.used) == 10**40 + 3


def test_users_who_count_the_same_names_share_one_layout_and_its_strings() -> None:
    event = usage(model="a-model", actual="an-actual")
    one, other = (counted([decode_event("usage", encode_event(event))])[1].layout for _ in range(2))
    assert one is other
    again = restored(counted([event])[0]).current
    assert again is not None
    assert again.layout is one
    (name,) = layout_of(["a-model"], []).actual
    assert name is next(iter(one.models))


def test_a_layout_that_no_period_has_goes_when_others_come() -> None:
    names = (("only-here",), ("only-here",), ())
    account, period = counted([usage(actual="only-here", model="only-here")])
    assert names in layouts._layouts
    del account, period
    for number in range(STEPS_KEPT):
        with_names(NO_NAMES, "exa", f"a{number}", "m")
    gc.collect()
    assert names not in layouts._layouts


def test_users_who_come_to_the_same_names_in_the_same_order_make_one_layout_once() -> None:
    calls = [usage(actual=name, model="m") for name in ("b", "a")]
    account, period = counted(calls)
    before = weakref.ref(period.layout)
    del account, period
    gc.collect()
    _, again = counted(calls)
    assert again.layout is before()


def test_numbers_that_fit_are_held_in_eight_bytes_each() -> None:
    assert slots_of([0, NUMBER_MAX]) == array("Q", [0, NUMBER_MAX])
    assert slots_of([0, NUMBER_MAX + 1]) == [0, NUMBER_MAX + 1]


def test_every_provider_is_counted_apart_however_many_there_are() -> None:
    providers = [f"host-{number}" for number in range(700)]
    events = [usage(cost=n, provider=p, model=f"m{n % 7}") for n, p in enumerate(providers)]
    account, period = counted([*events, *events])
    assert period.logged() == {p: (2, 0, 2 * n) for n, p in enumerate(providers)}
    assert period.totals() == (1_400, 0, 2 * sum(range(700)))
    assert restored(account) == account
    apply(account, RESET, NOON, 9)
    assert period.logged() == {p: (2, 0, 2 * n) for n, p in enumerate(providers)}
    assert restored(account) == account


def test_periods_without_other_providers_share_the_places_of_the_14() -> None:
    layouts_seen = [counted([usage(model=f"m{n}")])[1].layout for n in range(3)]
    assert all(each.providers is NO_NAMES.providers for each in layouts_seen)
