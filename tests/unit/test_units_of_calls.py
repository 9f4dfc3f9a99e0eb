"""Amounts of units: which numbers are taken, and that their sums are exact wherever they show."""

from __future__ import annotations

import json
import random
import time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from actors.billing.catalog.unit_changes import archive_unit, put_unit
from actors.billing.catalog.units import BUILT_IN, OWN_MAX, Units, units_of
from actors.billing.idempotency import original
from actors.billing.reports.trends import trends
from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account
from actors.billing.state.apply import apply
from actors.billing.state.tally import PAIRS_MAX
from messages.catalog import UnitsArchive, UnitsPut
from messages.codec import encode_reply
from messages.dimensions import COUNT_FIELDS
from messages.errors import InvalidRequest, RequestError
from messages.quantities import quantity
from messages.stored.detail import UsageDetail
from messages.stored.events import UsageRecorded
from tests.support.meter import Meter, a_track, micros

PART = "one_decimal"
"""A unit of scale 1."""
CHARGED = {"cost": Decimal(1)}


def put(meter: Meter, unit: str, **fields: Any) -> None:
    event = put_unit(meter.catalog, UnitsPut(id=unit, **fields))
    meter.catalog.take(event, meter.catalog.seq + 1)


def archive(meter: Meter, unit: str) -> None:
    event = archive_unit(meter.catalog, UnitsArchive(id=unit))
    meter.catalog.take(event, meter.catalog.seq + 1)


def metered() -> Meter:
    meter = Meter()
    put(meter, PART, scale=1)
    put(meter, "nano", scale=9)
    put(meter, "whole", max_per_call=10**15)
    put(meter, "few", scale=2, max_per_call=150)
    return meter


def amounts(units: Units, **said: str) -> dict[str, int] | None:
    raw = {name: Raw(number.encode()) for name, number in said.items()}
    return units_of(raw, "units", units)


@pytest.mark.parametrize(
    ("unit", "number", "nano"),
    [
        ("whole", "3", 3 * 10**9),
        ("whole", "3.0", 3 * 10**9),
        ("whole", "3e0", 3 * 10**9),
        ("whole", "1e15", 10**24),
        ("whole", "1000000000000000.000", 10**24),
        ("nano", "0.000000001", 1),
        ("nano", "1E-9", 1),
        ("nano", "1000", 10**12),
        ("seconds", "0.001", 10**6),
        ("seconds", "1000000000", 10**18),
        (PART, "1.5", 1_500_000_000),
        (PART, "1.50", 1_500_000_000),
        ("few", "1.50000", 1_500_000_000),
        ("few", "1.5" + "0" * 60_000, 1_500_000_000),
        (PART, "0.10000000000000000000", 100_000_000),
    ],
)
def test_a_number_within_the_scale_of_its_unit_is_taken_exactly(
    unit: str, number: str, nano: int
) -> None:
    assert amounts(metered().catalog.units, **{unit: number}) == {unit: nano}


@pytest.mark.parametrize("number", ["0", "-0", "0.0", "0e99", "-0.000", "0e-99", f"0.{0:099}"])
def test_an_amount_of_nothing_is_as_none(number: str) -> None:
    assert amounts(metered().catalog.units, seconds=number) is None


@pytest.mark.parametrize(
    ("unit", "number"),
    [
        ("whole", "0.5"),
        ("whole", "1.000000001"),
        (PART, "1.55"),
        (PART, "0.05"),
        ("seconds", "0.0001"),
        ("nano", "0.0000000001"),
        ("nano", "1e-10"),
        ("nano", "1." + "0" * 60_000 + "1"),
        ("few", "1.51"),
        ("nano", "1000.000000001"),
        ("whole", "1000000000000001"),
        ("seconds", "1000000000.001"),
        ("whole", "1e16"),
        ("whole", "9" * 60_000),
        ("whole", "1e300000"),
        ("whole", "1e-300000"),
        ("whole", "1e99999999999999999999"),
        ("whole", "1e-99999999999999999999"),
        *((unit, number) for unit in ("whole", "nano") for number in ("-1", "-1e-300000")),
        *(("whole", text) for text in ("null", "true", '"1"', "[]", "{}", "[1]", '{"a":1}')),
    ],
)
def test_any_other_number_is_refused_at_once_and_its_unit_named(unit: str, number: str) -> None:
    began = time.process_time()
    with pytest.raises(InvalidRequest, match=r"units: |a number") as caught:
        amounts(metered().catalog.units, **{unit: number})
    assert caught.value.field == "units"
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    "name",
    ["calls", "tokens", "cost", "concurrency", *COUNT_FIELDS, "tokens_", "tokens_of_mine"],
)
def test_what_has_a_field_of_its_own_is_refused_as_a_unit_of_a_call(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        amounts(Units(), **{name: "1"})
    assert caught.value.field == "units"


@pytest.mark.parametrize("number", ["1", "0"])
def test_a_unit_that_is_unknown_or_archived_is_refused_also_with_nothing_of_it(number: str) -> None:
    meter = metered()
    archive(meter, "whole")
    for name in ("whole", "wholes"):
        with pytest.raises(RequestError) as caught:
            amounts(meter.catalog.units, seconds="1", **{name: number})
        assert (caught.value.code, caught.value.field) == ("unknown_unit", "units")
    put(meter, "whole", max_per_call=1)
    assert amounts(meter.catalog.units, whole="1") == {"whole": 10**9}


def test_units_are_in_the_order_of_their_names() -> None:
    found = amounts(Units(), web_searches="1", characters="0", annotated_pages="2")
    assert found is not None
    assert list(found) == ["annotated_pages", "web_searches"]


def refused(meter: Meter, **fields: Any) -> tuple[str, str | None]:
    with pytest.raises(RequestError) as caught:
        put_unit(meter.catalog, UnitsPut(**fields))
    return caught.value.code, caught.value.field


def test_a_scale_never_changes_and_stays_if_it_is_left_out() -> None:
    meter = metered()
    assert refused(meter, id="few", scale=3) == ("invalid_request", "scale")
    archive(meter, "few")
    assert refused(meter, id="few", scale=0) == ("invalid_request", "scale")
    put(meter, "few", name="Few")
    unit = meter.catalog.units.get("few")
    assert unit is not None
    assert (unit.name, unit.scale, unit.max_per_call, unit.archived) == ("Few", 2, 10**12, False)


@pytest.mark.parametrize("unit", [*[unit.id for unit in BUILT_IN], "tokens_x", "tokens_"])
def test_what_is_built_in_or_kept_cannot_be_put_or_archived(unit: str) -> None:
    meter = metered()
    assert refused(meter, id=unit) == ("invalid_request", "id")
    with pytest.raises(RequestError) as caught:
        archive_unit(meter.catalog, UnitsArchive(id=unit))
    wanted = "invalid_request" if meter.catalog.units.get(unit) else "unknown_unit"
    assert (caught.value.code, caught.value.field) == (wanted, "id")


def test_there_are_64_of_ones_own_and_those_that_are_archived_count() -> None:
    meter = Meter()
    for number in range(OWN_MAX):
        put(meter, f"u{number}")
    archive(meter, "u7")
    assert refused(meter, id="another") == ("invalid_request", "id")
    put(meter, "u7")
    put(meter, "u8", name="again")
    assert meter.catalog.units.own == OWN_MAX


def test_a_repeat_gets_its_original_reply_though_the_unit_was_archived_since() -> None:
    meter = metered()
    meter.track(units={"whole": 3, PART: Decimal("1.5")}, event_id="k")
    archive(meter, "whole")
    row = meter.log[-1]
    for same in ({"whole": 3, PART: 1.5}, {"whole": 3, PART: 1.5, "never_put": 0}):
        call = a_track(units=same, event_id="k")
        reply = original(call, row.event, None, "k", row.seq, row.at, meter.catalog)
        assert json.loads(reply)["duplicate"] is True
    other = a_track(units={"whole": 3}, event_id="k")
    with pytest.raises(RequestError, match="idempotency_mismatch"):
        original(other, row.event, None, "k", row.seq, row.at, meter.catalog)
    with pytest.raises(RequestError, match="unknown_unit"):
        meter.track(units={"whole": 3})


def test_what_the_service_found_unpriced_is_no_content() -> None:
    meter = metered()
    meter.track(units={"whole": 3}, event_id="k")
    row = meter.log[-1]
    event = row.event
    assert isinstance(event, UsageRecorded)
    assert event.detail is not None
    detail = msgspec.structs.replace(event.detail, unpriced=("whole",))
    event = msgspec.structs.replace(event, detail=detail)
    call = a_track(units={"whole": 3}, event_id="k")
    reply = original(call, event, None, "k", row.seq, row.at, meter.catalog)
    assert json.loads(reply)["duplicate"] is True


def test_estimates_and_calls_that_lack_a_price_are_counted_until_a_reset() -> None:
    meter = Meter()
    assert meter.track(model_used="gpt-4o-mini", tokens_input=5).priced == "catalog"
    assert meter.current.tally is None
    assert meter.track("gemini", model_used="x", tokens_input=7).priced == "estimate"
    assert meter.track("gemini", model_used="x", tokens_input=9, **CHARGED).priced == "caller"
    guessed = meter.stats().estimated
    assert (guessed.calls, guessed.tokens, guessed.cost) == (1, 7, Decimal("0.000007"))
    event = meter.usage[0]
    detail = UsageDetail(unpriced=("search_count", "seconds"))
    apply(meter.account, msgspec.structs.replace(event, detail=detail), meter.at, meter.account.seq)
    assert meter.stats().unpriced_calls == 1
    assert meter.reset() is not None
    assert meter.current.tally is None
    stats = meter.stats()
    assert (stats.estimated.calls, stats.unpriced_calls) == (0, 0)


def test_a_name_that_is_one_too_many_has_its_units_where_its_calls_are() -> None:
    meter = metered()
    for number in range(103):
        meter.track(model_used=f"m{number}", actual_provider_name=f"a{number}", units={"whole": 2})
    stats = meter.stats()
    for part in (stats.actual_provider_breakdown, stats.model_breakdown):
        assert {used.units["whole"] / used.calls for used in part.values()} == {2}
        assert part["other"].calls == 3
        assert sum(used.units["whole"] for used in part.values()) == 206
    assert stats.provider_breakdown["openai"].units == stats.units == {"whole": 206}


def test_amounts_of_too_many_names_and_units_are_under_other_and_a_reply_stays_small() -> None:
    meter, names = Meter(), ["u" * 45 + f"_{n:02}" for n in range(OWN_MAX)]
    for name in names:
        put(meter, name, max_per_call=10**15)
    for number in range(400):
        said = {names[(number * 16 + n) % OWN_MAX]: 10**15 - n for n in range(16)}
        model = f"{number // 4}" + "m" * 250
        meter.track(model_used=model, actual_provider_name=model, units=said)
    stats = meter.stats()
    assert len(stats.units) == OWN_MAX
    for part in (stats.provider_breakdown, stats.actual_provider_breakdown, stats.model_breakdown):
        found: Sums = {}
        for used in part.values():
            add(found, used.units)
        assert found == fractions(stats.units)
        assert sum(len(used.units) for used in part.values()) <= PAIRS_MAX + OWN_MAX
        assert sum(used.calls for used in part.values()) == 400
    assert {*stats.model_breakdown["other"].units} == {*names}
    assert len(encode_reply(stats)) < 400_000
    replayed = Account("alice")
    for row in meter.log:
        apply(replayed, row.event, row.at, row.seq)
    assert snapshots.encode(replayed) == snapshots.encode(meter.account)
    assert snapshots.decode("alice", snapshots.encode(replayed)) == meter.account


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0"),
        (3 * 10**9, "3"),
        (1_500_000_000, "1.5"),
        (1, "1E-9"),
        (10**30, f"{10**21}"),
        (10**30 + 1, f"{10**21}.000000001"),
    ],
)
def test_a_total_is_an_exact_number_however_large(nano: int, text: str) -> None:
    encoded = encode_reply(quantity(nano)).decode()
    assert encoded == text
    assert Fraction(encoded) * 10**9 == nano


Sums = dict[str, Fraction]
SCALES = {"whole": 0, PART: 1, "few": 2, "seconds": 3, "nano": 9}


def add(sums: Sums, more: dict[str, Any]) -> None:
    for name, number in more.items():
        sums[name] = sums.get(name, Fraction(0)) + Fraction(number)


def nonzero(sums: Sums) -> Sums:
    return {name: total for name, total in sums.items() if total}


class History:
    """Random calls with units of one user, and their sums as fractions."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.meter = metered()
        self.since: Sums = {}
        self.ever: dict[str, Sums] = {}
        self.snapshot = b""

    def run(self) -> None:
        rng, meter = self.rng, self.meter
        for count in range(60):
            if rng.random() < 0.05 and meter.reset() is not None:
                self.since = {}
            said = self.units()
            ago = rng.choice([0, 0, 0, 20]) * 86_400 * 10**6
            reply = meter.track(
                rng.choice(["openai", "exa"]),
                model_used=rng.choice(["gpt-4o", "m"]),
                units=said,
                timestamp=meter.at - ago,
            )
            add(self.ever.setdefault(reply.billing_period, {}), said)
            if not reply.late:
                add(self.since, said)
            meter.at += rng.randrange(10**9)
            if count == 30:
                self.snapshot = snapshots.encode(meter.account)

    def units(self) -> dict[str, Decimal]:
        rng = self.rng
        return {
            name: Decimal(rng.randrange(150 if name == "few" else 10**12)).scaleb(-SCALES[name])
            for name in rng.sample(sorted(SCALES), rng.randrange(4))
        }


@pytest.mark.parametrize("seed", range(12))
def test_sums_of_units_are_exact_in_stats_the_log_and_trends(seed: int) -> None:
    history = History(seed)
    history.run()
    meter = history.meter
    stats = meter.stats()
    assert fractions(stats.units) == nonzero(history.since)
    for part in (stats.provider_breakdown, stats.model_breakdown, stats.actual_provider_breakdown):
        parts: Sums = {}
        for used in part.values():
            add(parts, used.units)
        assert parts == fractions(stats.units)
    logged: Sums = {}
    for event in meter.usage:
        units = (event.detail and event.detail.units) or {}
        add(logged, {name: Fraction(nano, 10**9) for name, nano in units.items()})
    whole: Sums = {}
    for sums in history.ever.values():
        add(whole, sums)
    assert logged == nonzero(whole)
    shown = trends(meter.account.closed, meter.current, 6, 0)
    assert {*shown.unit_trends} == {*logged}
    for name, totals in shown.unit_trends.items():
        wanted = [history.ever.get(key, {}).get(name, 0) for key in shown.periods]
        assert [Fraction(total) for total in totals] == wanted


@pytest.mark.parametrize("seed", range(12))
def test_units_are_replayed_as_they_were_counted_from_the_log_and_from_a_snapshot(
    seed: int,
) -> None:
    history = History(seed)
    history.run()
    live = history.meter.account
    for account in (Account("alice"), snapshots.decode("alice", history.snapshot)):
        for row in history.meter.log:
            if row.seq > account.seq:
                apply(account, row.event, row.at, row.seq)
        assert account == live
        assert snapshots.encode(account) == snapshots.encode(live)


def fractions(amounts: dict[str, Any]) -> dict[str, Fraction]:
    return {name: Fraction(number) for name, number in amounts.items()}


def test_a_period_of_the_past_keeps_its_units_apart() -> None:
    meter = metered()
    meter.track(units={"whole": 5})
    meter.at = micros("2026-04-02T00:00:00Z")
    meter.track(units={"whole": 7})
    late = meter.track(units={"whole": 11}, timestamp="2026-03-31T00:00:00Z")
    assert late.late
    assert meter.stats().units == {"whole": 7}
    assert meter.stats("2026-03").units == {"whole": 16}
