"""What calls of models without a price come to: the sums behind ``catalog.prices.unpriced``."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal
from heapq import merge
from typing import Any

import pytest

from actors.catalog.unpriced_sums import LUMP, MARKS, Sums, how_of
from messages.codec import encode_event
from messages.prices import (
    UnpricedEntry,
)
from messages.stored.detail import UsageDetail
from messages.stored.events import UsageRecorded
from messages.units import to_datetime
from tests.support.meter import NOON
from tests.support.older import long_form


def call(model: str = "m", priced: str = "estimate", **fields: Any) -> UsageRecorded:
    version = 0 if priced == "estimate" else 1
    return UsageRecorded(
        "openai", "openai", model, "2026-03", priced=priced, price_version=version, **fields
    )


def undated(**fields: Any) -> UsageRecorded:
    detail = UsageDetail(price_model="m", matched_by="undated")
    return call("m-2026-01-01", "catalog", detail=detail, **fields)


def listed(sums: Sums) -> list[UnpricedEntry]:
    return [sums.entry(model) for _, model in merge(*sums.lumps())]


@pytest.mark.parametrize(
    ("event", "how"),
    [
        (call(), "estimate"),
        (call(detail=UsageDetail(price_variant="batch")), "estimate"),
        (undated(), "undated"),
        (call(priced="catalog"), None),
        (call(priced="provider_default"), None),
        (call(priced="caller"), None),
        (call("m", "caller", detail=UsageDetail(matched_by="undated")), "undated"),
        (call("m", "catalog", detail=UsageDetail(matched_by="normalised")), None),
        (call("m", "catalog", detail=UsageDetail(unpriced=("tokens_output",))), None),
    ],
)
def test_a_call_is_listed_if_it_was_charged_the_estimate_or_by_an_undated_name(
    event: UsageRecorded, how: str | None
) -> None:
    assert how_of(event) == how
    sums = Sums(None)
    assert sums.take(event, "alice", NOON)
    assert len(sums) == (how is not None)


@pytest.mark.parametrize("event", [call(), undated()])
def test_each_call_that_is_listed_has_one_of_the_marks_in_every_form(event: UsageRecorded) -> None:
    assert any(mark in encode_event(event) for mark in MARKS)
    if event.detail is None:
        assert any(mark in long_form(event) for mark in MARKS)


def test_sums_are_those_of_a_plain_loop_in_whatever_order_calls_come() -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    wanted: defaultdict[str, list[tuple[int, int, int, str]]] = defaultdict(list)
    sums = Sums(NOON)
    for _ in range(3_000):
        model, user = f"m{rng.randrange(2 * LUMP)}", f"u{rng.randrange(9)}"
        arrived = NOON + rng.randrange(-5, 1_000)
        said = rng.choice([None, NOON + rng.randrange(-5, 2_000)])
        tokens, cost = rng.randrange(100), rng.randrange(10**12)
        event = call(model, tokens_input=tokens, tokens_output=1, cost_nano=cost, timestamp=said)
        assert sums.take(event, user, arrived)
        made = arrived if said is None else min(said, arrived)
        if made >= NOON:
            wanted[model].append((made, tokens + 1, cost, user))
    found = listed(sums)
    assert len(found) == len(wanted)
    for row in found:
        times, tokens_, costs, users = zip(*wanted[row.model], strict=True)
        assert (row.calls, row.tokens) == (len(times), sum(tokens_))
        assert row.cost == Decimal(sum(costs)).scaleb(-9)
        assert (row.users, row.users_capped) == (len({*users}), False)
        assert (row.first_seen, row.last_seen) == (to_datetime(min(times)), to_datetime(max(times)))


def test_most_calls_come_first_and_then_the_names_in_order() -> None:
    sums = Sums(None)
    for count, event in ((2, call("b")), (2, call("a")), (3, call("z")), (2, undated())):
        for _ in range(count):
            sums.take(event, "alice", NOON)
    sums.take(call("a", detail=UsageDetail(price_variant="batch")), "alice", NOON)
    order = [(row.calls, row.model, row.variant, row.how) for row in listed(sums)]
    assert order == [
        (3, "z", "", "estimate"),
        (2, "a", "", "estimate"),
        (2, "b", "", "estimate"),
        (2, "m-2026-01-01", "", "undated"),
        (1, "a", "batch", "estimate"),
    ]


def test_a_model_for_which_there_is_no_room_changes_nothing() -> None:
    sums = Sums(None, models_max=1)
    assert sums.take(call("a"), "alice", NOON)
    before = listed(sums)
    assert not sums.take(call("b"), "alice", NOON)
    assert listed(sums) == before
    assert sums.take(call("a"), "alice", NOON)
    assert sums.take(call("b", "catalog"), "alice", NOON)


def test_of_more_users_than_are_told_apart_there_are_at_least_so_many() -> None:
    sums = Sums(None, users_max=3)
    for user in ("a", "b", "a", "c", "b"):
        sums.take(call("x"), user, NOON)
    assert [(row.users, row.users_capped) for row in listed(sums)] == [(3, False)]
    sums.take(call("x"), "d", NOON)
    sums.take(call("y"), "a", NOON)
    assert [(row.users, row.users_capped) for row in listed(sums)] == [(3, True), (0, True)]


@pytest.mark.parametrize("moment", [10**19, -(10**19)])
def test_a_call_of_a_moment_that_cannot_be_told_is_refused_and_changes_nothing(
    moment: int,
) -> None:
    sums = Sums(None)
    with pytest.raises(OverflowError):
        sums.take(call(), "alice", moment)
    sums.take(call(), "alice", NOON)
    before = listed(sums)
    with pytest.raises(OverflowError):
        sums.take(call(), "alice", moment)
    assert listed(sums) == before
