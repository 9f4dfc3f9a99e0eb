from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.billing.counters.slots import COST, UNITS
from actors.billing.limits.limits import HARD, SOFT
from actors.billing.wire.decision import (
    changed,
    decision_text,
    limit_head,
    limit_tail,
    limit_text,
    moment_text,
    preflight_text,
)
from messages.admission import EnforceReply, LimitState, OperationReply, PreflightReply
from messages.units import to_datetime, usd

AMOUNTS = st.integers(0, 10**24)
TEXTS = st.text(max_size=20)
MOMENTS = st.integers(0, 4 * 10**15)


def parsed(text: str | bytes) -> Any:
    return json.loads(text, parse_float=Decimal)


@given(
    TEXTS,
    st.sampled_from([0, 1, 2]),
    st.sampled_from([HARD, SOFT]),
    *[AMOUNTS] * 4,
    MOMENTS,
)
def test_a_written_limit_has_the_fields_of_the_struct_and_exact_amounts(
    name: str, unit: int, kind: str, value: int, used: int, held: int, requested: int, end: int
) -> None:
    head, tail = limit_head(name, unit, kind, value), limit_tail(end)
    limit = parsed(limit_text(head, unit, value, used, held, requested, tail))
    assert tuple(limit) == LimitState.__struct_fields__
    share = limit.pop("percentage")
    if value:
        assert abs(Fraction(share) - Fraction(used * 100, value)) <= Fraction(1, 20_000)
        assert share.as_tuple().exponent == -4
    else:
        assert share is None
    amounts: list[Any] = [value, used, held, requested, value - used - held]
    if unit == COST:
        amounts = [usd(amount) for amount in amounts]
    assert list(limit.values()) == [
        *(name, UNITS[unit], "billing_period", kind, *amounts),
        moment_text(end),
    ]


@given(
    st.booleans(),
    TEXTS,
    TEXTS,
    st.lists(TEXTS, max_size=3),
    st.none() | st.integers(0, 10**7),
    st.none() | TEXTS,
    st.integers(0, 10**9),
)
def test_a_written_decision_has_the_fields_of_the_structs(
    allowed: bool,
    message: str,
    actual: str,
    violated: list[str],
    wait: int | None,
    key: str | None,
    seq: int,
) -> None:
    names, about = ("openai", actual), ("active", "2026-03.2")
    text = decision_text(allowed, message, "within_limits", names, violated, "", about, wait)
    found = parsed(f'{{{text},"seq":{seq}}}')
    assert tuple(found) == EnforceReply.__struct_fields__
    assert list(found.values()) == [
        *(allowed, message, "within_limits", "openai", actual, violated, []),
        *("active", "2026-03.2", wait, seq),
    ]
    operation = f'{{"operation_type":null,{text},"hold_id":null,"expires_at":null}}'
    failed = None if allowed else 0
    text = preflight_text("within_limits", message, failed, [operation])
    reply = parsed(changed(text, key, seq, duplicate=not allowed))
    assert set(reply) == set(PreflightReply.__struct_fields__)
    assert set(reply["operations"][0]) == set(OperationReply.__struct_fields__)
    assert (reply["allowed"], reply["message"], reply["failed_index"]) == (allowed, message, failed)
    assert (reply["event_id"], reply["duplicate"], reply["seq"]) == (key, not allowed, seq)


@given(MOMENTS)
def test_a_written_moment_is_the_instant_in_utc(micros: int) -> None:
    text = moment_text(micros)
    assert text.endswith("Z")
    assert to_datetime(micros).fromisoformat(text) == to_datetime(micros)
