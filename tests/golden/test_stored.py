"""Golden bytes: what was ever stored must be read, as it was meant, for ever.

A file here is never edited. A change of a stored form adds a file and keeps the old ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from actors.billing import snapshot as snapshots
from actors.billing.limits import INDEX, SLOTS, TEXT_CALLS, TOTAL_COST, WAVESPEED_CALLS
from actors.billing.state import Account, Period, Raised
from messages.codec import decode_event, decode_personal, encode_event
from messages.events import (
    KIND,
    Alert,
    CountersReset,
    Event,
    PeriodAdded,
    PeriodRolled,
    PeriodSealed,
    PeriodTotals,
    Personal,
    PlanTerms,
    UsageRecorded,
)

DATA: Final = Path(__file__).with_name("data")
MARCH: Final = 1_772_323_200_000_000
APRIL: Final = 1_775_001_600_000_000
MAY: Final = 1_777_593_600_000_000
NOON: Final = 1_773_576_000_000_000  # 2026-03-15T12:00:00Z

FREE: Final = PlanTerms(
    "Free",
    "free",
    1,
    (("gemini_calls", 50), ("openai_calls", 0), ("monthly_cost", 2_000_000_000)),
    ("basic_content_generation",),
)
BARE: Final = PlanTerms("Bare", "pro", 2, ())
ALERT: Final = Alert(
    id="8f2f0e8d0c5f4d6e9a7b1c3d",
    type="limit_reached",
    threshold_percentage=100,
    severity="error",
    limit_name="monthly_cost",
    unit="cost",
    provider=None,
    title="Limit reached: monthly cost",
    message="monthly_cost is used up in 2026-03: 2.5 of 2 USD.",
    used=2_500_000_000,
    limit=2_000_000_000,
    billing_period="2026-03",
)
WARNING: Final = Alert(
    id="0123456789abcdef01234567",
    type="usage_warning",
    threshold_percentage=80,
    severity="info",
    limit_name="gemini_calls",
    unit="calls",
    provider="gemini",
    title="80% used: gemini calls",
    message="gemini_calls has reached 80% in 2026-03: 40 of 50 calls.",
    used=40,
    limit=50,
    billing_period="2026-03",
)
TOTALS: Final = PeriodTotals(
    key="2026-03",
    start=MARCH,
    end=APRIL,
    terms=FREE,
    providers={"gemini": (2, 1_500, 450_000), "video": (1, 0, 250_000_000)},
    earlier={"gemini": (40, 10**12, 2**64)},
    wavespeed_calls=1,
    actual_providers={"google": (2, 1_500, 450_000), "wavespeed": (1, 0, 250_000_000)},
    models={"gemini-2.5-flash": (2, 1_500, 450_000), "wän": (1, 0, 250_000_000)},
    errors=1,
    response_micros=1_250_000,
    last_updated=NOON,
)
NOTHING: Final = PeriodTotals(key="2026-02", start=0, end=MARCH, terms=BARE)

EVENTS: Final[dict[str, Event]] = {
    "period_rolled": PeriodRolled(key="2026-04", start=APRIL, end=MAY, terms=FREE, closed=TOTALS),
    "period_rolled.first": PeriodRolled(key="2026-03", start=MARCH, end=APRIL, terms=BARE),
    "period_added": PeriodAdded(key="2026-03.2", start=MARCH, end=APRIL, terms=FREE),
    "period_sealed": PeriodSealed(totals=TOTALS),
    "period_sealed.empty": PeriodSealed(totals=NOTHING),
    "reset": CountersReset(billing_period="2026-03", reason="renewal of the plan"),
    "reset.bare": CountersReset(billing_period="2026-03"),
    "usage": UsageRecorded(
        provider="mistral",
        actual="huggingface",
        model="openai/gpt-oss-120b:groq",
        billing_period="2026-03",
        status="limit_reached",
        priced="caller",
        price_version=1,
        cost_nano=10**15,
        cost_input_nano=2_000_000,
        cost_output_nano=500_000,
        cost_catalog_nano=2_500_000,
        tokens_input=1_000,
        tokens_output=500,
        tokens_cache_read=300,
        tokens_cache_write=0,
        tokens_reasoning=100,
        search_count=0,
        image_count=1,
        page_count=10**6,
        endpoint='/v1/"chat"\n',
        method="PUT",
        response_time=0.1,
        status_code=503,
        request_size=10**12,
        response_size=0,
        retry_count=3,
        timestamp=NOON,
        late=True,
        adjusted=(43, 10**12 + 3_000, 2**64 + 10**15),
        hold_id="h-1",
        hold_status="unknown",
        alerts=(WARNING, ALERT),
    ),
    "usage.bare": UsageRecorded(
        provider="openai",
        actual="openai",
        model="gpt-4o-mini",
        billing_period="2026-03",
        status="active",
        priced="catalog",
        price_version=1,
        cost_nano=150,
        cost_input_nano=150,
        tokens_input=1,
    ),
}
PERSONAL: Final = Personal(
    user_agent="agent/1.0",
    ip_address="2001:db8::1",
    error_message="tïmeout\n",
    metadata={"team": "blue", "": "empty"},
)


def golden(name: str) -> str:
    return (DATA / f"{name}.json").read_text("utf-8").removesuffix("\n")


def kind_of(name: str) -> str:
    return name.partition(".")[0]


def an_account() -> Account:
    """A user in April with a closed March, as the golden snapshot keeps it."""
    account = Account("alice", seq=77, at=NOON + 1, months={"2026-03": 2, "2026-04": 1})
    account.before = {"gemini": 42, "video": 1}
    used = [0] * SLOTS
    openai = 3 * INDEX["openai"]
    used[openai : openai + 3] = [1, 1, 150]
    used[TEXT_CALLS] = 1
    used[TOTAL_COST] = 150
    account.current = Period(
        key="2026-04",
        start=APRIL,
        end=MAY,
        terms=FREE,
        used=used,
        actual={"openai": [1, 1, 150]},
        models={"gpt-4o-mini": [1, 1, 150]},
        last_updated=NOON + 1,
    )
    march = snapshots.period_of(TOTALS)
    march.levels = {"gemini_calls": 80, "monthly_cost": 100}
    march.announced = True
    assert march.used[WAVESPEED_CALLS] == 1
    account.closed = [march, Period("2026-03.2", MARCH, APRIL, BARE)]
    account.unread.extend([Raised(WARNING, NOON, 70), Raised(ALERT, NOON, 73)])
    return account


def test_every_kind_of_event_has_golden_bytes_and_no_file_is_forgotten() -> None:
    assert {kind_of(name) for name in EVENTS} == set(KIND.values())
    files = {path.stem for path in DATA.glob("*.json")}
    assert files == {*EVENTS, "personal", "snapshot.2", "snapshot.2.empty"}


@pytest.mark.parametrize("kind", KIND.values())
def test_the_golden_bytes_of_a_kind_have_every_field_of_it(kind: str) -> None:
    stored = json.loads(golden(kind))
    assert list(stored) == list(EVENTS[kind].__struct_fields__)


def test_what_stored_bytes_leave_out_means_what_it_always_meant() -> None:
    # Defaults are not stored, so they are as fixed as the bytes are.
    found = decode_event("usage", golden("usage.bare"))
    assert isinstance(found, UsageRecorded)
    texts = (found.endpoint, found.method, found.hold_id, found.hold_status)
    assert texts == ("", "POST", None, None)
    numbers = (found.status_code, found.retry_count, found.tokens_output, found.cost_output_nano)
    assert numbers == (200, 0, 0, 0)
    assert (found.response_time, found.late, found.alerts) == (0.0, False, ())
    absent = (found.timestamp, found.adjusted, found.cost_catalog_nano, found.tokens_cache_read)
    assert absent == (None, None, None, None)
    empty = decode_event("period_sealed", golden("period_sealed.empty"))
    assert isinstance(empty, PeriodSealed)
    totals = empty.totals
    assert (totals.providers, totals.earlier, totals.models) == ({}, {}, {})
    assert (totals.errors, totals.response_micros, totals.wavespeed_calls) == (0, 0, 0)
    assert totals.last_updated is None


@pytest.mark.parametrize("name", EVENTS)
def test_stored_events_are_read_as_they_were_meant(name: str) -> None:
    found = decode_event(kind_of(name), golden(name))
    assert found == EVENTS[name]
    assert KIND[type(found)] == kind_of(name)


@pytest.mark.parametrize("name", EVENTS)
def test_events_are_stored_as_they_always_were(name: str) -> None:
    assert encode_event(EVENTS[name]) == golden(name)


def test_personal_fields_are_stored_and_read_as_they_always_were() -> None:
    assert decode_personal(golden("personal")) == PERSONAL
    assert encode_event(PERSONAL) == golden("personal")
    assert decode_personal(None) is None
    assert decode_personal("{}") == Personal()


def test_a_kind_that_this_version_does_not_know_is_an_error() -> None:
    with pytest.raises(KeyError):
        decode_event("unheard_of", "{}")


def test_the_golden_snapshot_is_of_the_schema_that_is_written() -> None:
    # A new schema adds a golden file; a snapshot of another schema is ignored and rebuilt.
    assert snapshots.SCHEMA == 2


def test_a_stored_snapshot_is_read_as_it_was_meant() -> None:
    found = snapshots.decode("alice", golden("snapshot.2").encode())
    assert found == an_account()
    assert snapshots.decode("bob", golden("snapshot.2.empty").encode()) == Account("bob")


def test_a_snapshot_is_stored_as_it_always_was() -> None:
    assert snapshots.encode(an_account()).decode() == golden("snapshot.2")
    assert snapshots.encode(Account("alice")).decode() == golden("snapshot.2.empty")
