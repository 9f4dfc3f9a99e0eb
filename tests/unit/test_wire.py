"""Replies written out are the structs of the contract: `fast` says what `reference` says."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.billing.changes import CHANGES
from actors.billing.counters.layouts import UNITS
from actors.billing.counters.slots import COST
from actors.billing.effects import Persist
from actors.billing.limits.limits import HARD, SOFT
from actors.billing.wire import fast, reference
from messages.admission import LimitState
from messages.codec import decode_command, encode_reply
from messages.errors import RequestError
from messages.stored.events import (
    UsageRecorded,
)
from messages.units import NANO_PER_USD, to_datetime, usd
from messages.usage import BatchReply
from tests.support.meter import Meter, catalog_of, plan
from tests.support.rows import CALL

AMOUNTS = st.integers(0, 10**24)
MOMENTS = st.integers(0, 4 * 10**15)

NAMES = st.sampled_from(
    [
        *("openai_calls", "openai_tokens", "openai_cost", "anthropic_calls", "wavespeed_calls"),
        *("monthly_cost", "ai_text_generation_calls"),
    ]
)
PLANS = st.builds(
    plan,
    st.dictionaries(NAMES, st.integers(0, 30) | st.integers(0, 10**12)),
    st.sampled_from(["free", "pro"]),
)
CALLS = st.fixed_dictionaries(
    {"provider": st.sampled_from(["openai", "anthropic", "huggingface", "wavespeed", "video"])},
    optional={
        "model_used": st.sampled_from(["gpt-4o-mini", "sora", 'a "quoted" one', "\u2028"]),
        "actual_provider_name": st.text(max_size=6),
        "tokens_requested": st.integers(0, 10**5),
        "cost_requested": st.integers(0, 10**9).map(usd),
        "calls": st.integers(1, 5),
    },
)
HOLDS = st.builds(lambda call, ttl: {**call, "ttl": ttl}, CALLS, st.integers(1, 90))
TRACKS = st.fixed_dictionaries(
    {"provider": st.sampled_from(["openai", "wavespeed"])},
    optional={
        "tokens_input": st.integers(0, 10**6),
        "cost": st.integers(0, 10**10).map(usd),
        "hold_id": st.sampled_from(["k0", "k1", "k2", "none"]),
        "actual_provider_name": st.text(max_size=6),
    },
)
STEPS = st.one_of(
    st.tuples(st.just("track"), TRACKS),
    st.tuples(st.just("enforce"), CALLS),
    st.tuples(st.just("hold"), HOLDS),
    st.tuples(
        st.just("extend"),
        st.fixed_dictionaries(
            {"hold_id": st.sampled_from(["k0", "k1", "k2"])},
            optional={
                "ttl": st.integers(1, 90),
                "tokens_requested": st.integers(0, 10**6),
                "cost_requested": st.integers(0, 10**9).map(usd),
            },
        ),
    ),
    st.tuples(st.just("release"), st.just({"hold_id": "k1"})),
    st.tuples(
        st.just("preflight"),
        st.fixed_dictionaries(
            {"operations": st.lists(CALLS, min_size=1, max_size=4)},
            optional={"hold": st.just({"ttl": 30})},
        ),
    ),
    st.tuples(st.sampled_from(["suspend", "resume", "reset", "cancel"]), st.just({})),
    st.tuples(
        st.just("subscribe"),
        st.fixed_dictionaries(
            {"plan": st.sampled_from(["Basic", "Pro"]), "billing_cycle": st.just("yearly")},
            optional={"overrides": st.just({"openai_calls": 2})},
        ),
    ),
)


def parsed(text: str | bytes) -> Any:
    """The values of a text, with the order of its fields, and numbers as they are."""
    return json.loads(text, parse_float=Decimal, object_pairs_hook=list)


class Number(str):
    """A number with a point, as it is written."""

    __slots__ = ()


def decimals(text: bytes) -> set[tuple[str, int]]:
    """The fields that are written with a point, with the number of their decimals."""
    found: set[tuple[str, int]] = set()

    def note(pairs: list[tuple[str, Any]]) -> None:
        found.update(
            (name, len(value.partition(".")[2]))
            for name, value in pairs
            if isinstance(value, Number)
        )

    json.loads(text, parse_float=Number, object_pairs_hook=note)
    return found


def check(written: bytes, struct: msgspec.Struct) -> None:
    assert parsed(written) == parsed(encode_reply(struct))
    for field, count in decimals(written):  # as many as ever, whatever the amount
        assert count == (4 if field == "percentage" else 9), field
    # And a caller decodes it as what the contract calls it.
    kind = type(struct)
    decoded = msgspec.json.decode(encode_reply(struct), type=kind)
    assert msgspec.json.decode(written, type=kind) == decoded


@given(PLANS, st.lists(STEPS, min_size=1, max_size=12), st.booleans(), st.integers(1, 10**9))
@settings(max_examples=300, deadline=None)
@pytest.mark.parametrize("free", [True, False])
def test_every_reply_is_the_struct_of_the_reference(
    free: bool, terms: Any, steps: list[tuple[str, Any]], duplicate: bool, seq: int
) -> None:
    """Of what is granted and refused, when it is decided, and of its event when its key comes."""
    meter = Meter(terms=terms) if free else Meter(catalog_of(free={"openai_calls": 3}))
    for number, (verb, fields) in enumerate(steps):
        key = f"k{number}"
        meter.at += 7_000_000
        if verb == "enforce":
            decision = meter.judge(**fields)
            check(fast.enforced(decision, seq), reference.enforced(decision, seq))
        elif verb == "track":
            meter.track(**fields, event_id=key)
            check_event(meter.log[-1].event, key, seq, duplicate)
        else:
            with suppress(RequestError):  # unknown holds, no live subscription
                check_change(meter, verb, fields, key, duplicate)


def check_event(event: Any, key: str, seq: int, duplicate: bool) -> None:
    written = fast.reply(event, key, seq, duplicate=duplicate)
    check(written, reference.reply(event, key, seq, duplicate=duplicate))


def check_change(meter: Meter, verb: str, fields: Any, key: str, duplicate: bool) -> None:
    meter.wake()
    command = decode_command(verb, encode_reply(fields))
    effect = meter.effect_of(command, key)
    shown = effect.shown
    if shown is not None:
        written = fast.reply(shown, key, 9, duplicate=duplicate)
        check(written, reference.reply(shown, key, 9, duplicate=duplicate))
    if isinstance(effect, Persist):
        first = meter.decide(command, key)
        answer = CHANGES[type(command)].reply(effect.events[-1], meter.account.at)
        check_event(answer, key, meter.account.seq, duplicate)
        # What was decided and what its event says are the same reply.
        assert fast.reply(answer, key, meter.account.seq) == first


COSTS = st.integers(0, 10**10) | st.integers(0, 10**30)
USAGE: dict[str, Any] = {
    "provider": st.sampled_from(["openai", "wavespeed"]),
    "actual": st.text(max_size=20),
    "model": st.text(max_size=5),
    "billing_period": st.just("2026-03.2"),
    "status": st.sampled_from(["active", "limit_reached"]),
    "priced": st.sampled_from(["catalog", "caller"]),
    "cost_input_nano": COSTS,
    "cost_output_nano": COSTS,
    "cost_catalog_nano": st.none() | COSTS,
    "tokens_input": st.integers(0, 10**9),
    "tokens_output": st.integers(0, 10**9),
    "late": st.booleans(),
    "hold_id": st.none() | st.text(max_size=5),
}
HELD = st.sampled_from(  # "settled" and late: by the call before
    [(None, False), ("settled", False), ("settled", True), ("unknown", False), ("unknown", True)]
).map(lambda held: {"hold_status": held[0], "late_settle": held[1]})
FREE: dict[str, Any] = CALL | {"cost_input_nano": 0, "cost_output_nano": 0}


@example(FREE, NANO_PER_USD, "k", 1, False)
@example(FREE, NANO_PER_USD - 1, "k", 1, False)
@given(
    st.builds(lambda usage, held: usage | held, st.fixed_dictionaries(USAGE), HELD),
    COSTS,
    st.text(min_size=1),
    st.integers(1),
    st.booleans(),
)
def test_the_reply_of_any_stored_call_is_its_struct(
    fields: dict[str, Any], more: int, key: str, seq: int, duplicate: bool
) -> None:
    """The cost is never below its parts: the catalogue's is their sum and more."""
    cost = fields["cost_input_nano"] + fields["cost_output_nano"] + more
    check_event(UsageRecorded(**fields, cost_nano=cost), key, seq, duplicate)


@given(st.lists(st.integers(0, 10**9), max_size=5), st.integers(0, 5), st.booleans())
def test_the_reply_to_a_batch_is_its_struct(costs: list[int], rejected: int, again: bool) -> None:
    events = [_usage(cost) for cost in costs]
    results = [fast.tracked(event, "k", 5) for event in events]
    written = fast.batch(results, (1, 2, rejected), 'a "key"', 7, duplicate=again)
    struct = BatchReply(
        results=tuple(msgspec.Raw(result) for result in results),
        accepted=1,
        duplicates=2,
        rejected=rejected,
        event_id='a "key"',
        duplicate=again,
        seq=7,
    )
    assert parsed(written) == parsed(encode_reply(struct))


def _usage(cost: int) -> UsageRecorded:
    return UsageRecorded(
        provider="openai",
        actual="openai",
        model="m",
        billing_period="2026-03",
        status="active",
        priced="catalog",
        cost_nano=cost,
    )


@given(
    st.sampled_from(["openai_calls", "a name", "\N{SNOWMAN}"]),
    st.sampled_from([0, 1, 2]),
    st.sampled_from([HARD, SOFT]),
    *[AMOUNTS] * 3,
    MOMENTS,
)
def test_a_written_limit_has_the_fields_of_the_struct_and_exact_amounts_of_any_size(
    name: str, unit: int, kind: str, value: int, used: int, held: int, end: int
) -> None:
    head = fast.limit_head(name, unit, "billing_period", kind, value)
    before, after = fast.around_requested(head, unit, value, used, held, fast.limit_tail(end))
    limit = json.loads(f"{before}0{after}", parse_float=Decimal)
    assert tuple(limit) == LimitState.__struct_fields__
    share = limit.pop("percentage")
    if value:
        assert abs(Fraction(share) - Fraction(used * 100, value)) <= Fraction(1, 20_000)
        assert share.as_tuple().exponent == -4
    else:
        assert share is None
    amounts: list[Any] = [value, used, held, 0, value - used - held]
    if unit == COST:
        amounts = [usd(amount) for amount in amounts]
    assert list(limit.values()) == [
        *(name, UNITS[unit], "billing_period", kind, *amounts),
        fast.moment_text(end),
    ]


@given(MOMENTS)
def test_a_written_moment_is_the_instant_in_utc(micros: int) -> None:
    text = fast.moment_text(micros)
    assert text.endswith("Z")
    assert to_datetime(micros).fromisoformat(text) == to_datetime(micros)
