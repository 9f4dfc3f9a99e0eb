"""What open holds set aside, whenever somebody looks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.billing.counters.layouts import NO_NAMES, PROVIDER_SLOTS
from actors.billing.counters.slots import Amounts, add, no_amounts
from actors.billing.state.open_holds import HOLDS_MAX, OpenHold, OpenHolds, weight_of
from messages.stored.detail import HoldDetail
from tests.support.meter import Meter, catalog_of
from tests.support.turns import instructions

SECOND = 1_000_000
MOMENTS = st.integers(0, 30)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), MOMENTS),
        st.tuples(st.just("remove"), st.integers(0, 9), MOMENTS),
        st.tuples(st.just("expire"), st.just(0), MOMENTS),
        st.tuples(st.just("look"), st.just(0), MOMENTS),
    ),
    max_size=60,
)


def hold(number: int, expires_at: int) -> OpenHold:
    provider = ("openai", "wavespeed", "exa", "vllm", "runpod")[number % 5]
    amounts = (1 + number, 10**number, 7 * number + expires_at)
    units = {f"unit_{n}": 10**9 for n in range(expires_at % 3)} or None
    text = provider == "vllm"
    detail = HoldDetail(units=units, text=text) if units or text else None
    return OpenHold(f"h{number}", provider, provider, "m", amounts, False, 0, expires_at, detail)


def held(holds: list[OpenHold]) -> dict[str, int]:
    slots, layout = no_amounts(), NO_NAMES
    for one in holds:
        layout = add(slots, layout, one.touch, one.amounts)
    return shown((slots, layout))


def shown(amounts: Amounts) -> dict[str, int]:
    """What is held, by name: the places of others depend on the order in which they came."""
    slots, layout = amounts
    own = {f"{name}.{n}": slots[at + n] for name, at in layout.providers.items() for n in range(3)}
    spanning = {f"spanning.{n}": slots[PROVIDER_SLOTS + n] for n in range(3)}
    return {name: amount for name, amount in (own | spanning).items() if amount}


@given(STEPS)
def test_the_held_amount_at_any_moment_is_the_sum_of_the_holds_open_then(
    steps: list[tuple[str, int, int]],
) -> None:
    """Also if looks and events do not come in the order of time."""
    holds, plain = OpenHolds(), dict[str, OpenHold]()
    for what, number, moment in steps:
        name = f"h{number}"
        if what == "put":
            holds.put(hold(number, moment))
            plain[name] = hold(number, moment)
        elif what == "remove" and name in plain:
            holds.remove(name)
            del plain[name]
        elif what == "expire":
            gone = {one.id for one in plain.values() if one.expires_at <= moment}
            assert set(holds.expire(moment)) == gone
            plain = {key: one for key, one in plain.items() if key not in gone}
        open_now = [one for one in plain.values() if one.expires_at > moment]
        assert shown(holds.amounts(moment)) == held(open_now)
        assert holds.count_at(moment) == len(open_now)
        assert holds.open_at(moment) == open_now
        assert list(holds) == list(plain.values())  # in this order a snapshot has them
        assert holds == OpenHolds(list(plain.values()))
        assert holds.weight == sum(map(weight_of, plain.values()))


def test_a_hold_that_is_extended_again_and_again_leaves_no_trail() -> None:
    holds = OpenHolds([hold(1, 10), hold(2, 10**6)])
    for moment in range(10_000):
        holds.put(hold(1, 11 + moment))
    assert len(holds._queue) < 200
    assert shown(holds.amounts(10_010)) == held([hold(2, 10**6)])


def test_providers_whose_holds_are_gone_leave_no_trail() -> None:
    stays = hold(3, 10**6)
    holds = OpenHolds([stays, hold(0, 10**6)])
    for number in range(2_000):
        name = f"host-{number}"
        one = OpenHold(name, name, name, "m", (1, 2, 3), False, 0, 10**6)
        holds.put(one)
        if number % 3:
            holds.remove(name)
        else:
            holds.put(one._replace(expires_at=number))
            holds.expire(number)
        _, layout = holds.amounts(number)
        assert len(layout.providers) < 100
    assert shown(holds.amounts(2_000)) == held([stays, hold(0, 10**6)])


LIMITS = {"openai_tokens": 10**9, "openai_calls": 10**9, "tavily_calls": 5}


def of_a_user_with(count: int) -> Meter:
    """A user with so many open holds, and one more that has expired since the newest event."""
    meter = Meter(catalog_of(free=LIMITS))
    meter.do("hold", provider="openai", event_id="brief", ttl=1)
    for number in range(count):
        meter.do("hold", provider="openai", event_id=f"h{number}", ttl=3_600)
    meter.at += 2 * SECOND
    return meter


OPERATIONS = [{"provider": "openai", "tokens_requested": 1}] * 100
REFUSED = [*OPERATIONS[1:], {"provider": "tavily", "calls": 6}]


@pytest.mark.parametrize(
    "ask",
    [
        lambda meter: meter.do("preflight", operations=OPERATIONS),
        lambda meter: meter.do("preflight", operations=REFUSED),
        lambda meter: meter.enforce("openai"),
        lambda meter: meter.stats(),
    ],
    ids=["preflight", "preflight-refused", "enforce", "stats"],
)
def test_a_request_of_a_user_with_a_thousand_open_holds_looks_at_none_of_them(ask: Any) -> None:
    few, many = of_a_user_with(1), of_a_user_with(HOLDS_MAX - 1)
    for meter in (few, many):
        ask(meter)  # what is made once, for all users
    one, thousand = instructions(lambda: ask(few)), instructions(lambda: ask(many))
    assert thousand <= one * 1.05, (one, thousand)
    assert many.stats().held.open == HOLDS_MAX - 1
