"""Golden bytes: what was ever stored must be read, as it was meant, for ever.

A file here is never edited. A change of a stored form adds a file and keeps the old ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from actors.billing.counters.layouts import PROVIDER_SLOTS
from actors.billing.state import snapshot as snapshots
from actors.billing.state.account import Account
from actors.billing.state.open_holds import OpenHolds
from actors.billing.state.tally import tally_of
from messages.codec import decode_catalog_event, decode_event, decode_personal, encode_event
from messages.stored.detail import HoldDetail
from messages.stored.errors import UnreadableEvent
from messages.stored.events import (
    KIND,
    PeriodSealed,
    Personal,
    UsageRecorded,
)
from tests.golden.accounts import an_account, an_account_of_others
from tests.golden.stored import ALL, EVENTS, OLDER, PERSONAL, TALLY
from tests.golden.stored_catalog import CATALOG_EVENTS
from tests.support.older import LATER, long_form

DATA: Final = Path(__file__).with_name("data")
NEWEST: Final = {
    "usage": "usage.priced",
    "period_rolled": "period_rolled.2",
    "hold": "hold.priced",
    "hold_extended": "hold_extended.priced",
    "price": "price.whole",
}
"""The newest form of each kind that has more than one."""


def golden(name: str) -> str:
    return (DATA / f"{name}.json").read_text("utf-8").removesuffix("\n")


def kind_of(name: str) -> str:
    return name.partition(".")[0]


def test_every_kind_of_event_has_golden_bytes_and_no_file_is_forgotten() -> None:
    assert {kind_of(name) for name in ALL} == set(KIND.values())
    files = {path.stem for path in DATA.glob("*.json")}
    parts = ("", ".empty", ".detail", ".tally", ".others")
    snapshot_files = {f"snapshot.4{part}" for part in parts}
    assert files == {*ALL, "personal", *snapshot_files}


@pytest.mark.parametrize("kind", KIND.values())
def test_the_golden_bytes_of_a_kind_have_every_field_of_it(kind: str) -> None:
    newest = NEWEST.get(kind, kind)
    stored = json.loads(golden(newest))
    assert list(stored) == list(ALL[newest].__struct_encode_fields__)


def test_the_golden_bytes_of_the_form_with_full_names_have_every_field_of_that() -> None:
    fields = [name for name in ALL["usage"].__struct_fields__ if name not in LATER]
    assert list(json.loads(golden("usage"))) == fields


@pytest.mark.parametrize("name", sorted(OLDER))
def test_older_rows_of_other_tests_are_as_they_were_stored(name: str) -> None:
    event = ALL[name]
    assert isinstance(event, UsageRecorded)
    assert long_form(event) == golden(name)


@pytest.mark.parametrize("name", ["usage.bare", "usage.2.bare"])
def test_fields_left_out_of_a_stored_call_mean_what_they_always_meant(name: str) -> None:
    # Defaults are not stored, so they are as fixed as the bytes are.
    found = decode_event("usage", golden(name))
    assert isinstance(found, UsageRecorded)
    assert (found.status, found.priced, found.price_version) == ("active", "catalog", 1)
    texts = (found.endpoint, found.method, found.hold_id, found.hold_status)
    assert texts == ("", "POST", None, None)
    numbers = (found.status_code, found.retry_count, found.tokens_output, found.cost_output_nano)
    assert numbers == (200, 0, 0, 0)
    assert (found.response_time, found.late, found.alerts, found.clipped) == (0.0, False, (), ())
    absent = (found.timestamp, found.adjusted, found.cost_catalog_nano, found.tokens_cache_read)
    assert absent == (None, None, None, None)


def test_an_absent_version_of_a_price_is_0_under_full_names_and_1_under_short_ones() -> None:
    for name, version in ("usage.bare", 0), ("usage.2.bare", 1):
        text = golden(name).replace('"price_version":1,', "")
        found = decode_event("usage", text)
        assert isinstance(found, UsageRecorded)
        assert found.price_version == version


def test_fields_left_out_of_a_stored_period_mean_what_they_always_meant() -> None:
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


@pytest.mark.parametrize("name", CATALOG_EVENTS)
def test_stored_changes_of_the_catalogue_are_read_as_they_were_meant(name: str) -> None:
    assert decode_catalog_event(kind_of(name), golden(name)) == CATALOG_EVENTS[name]


@pytest.mark.parametrize("name", sorted({*ALL} - OLDER))
def test_events_are_stored_as_they_always_were(name: str) -> None:
    assert encode_event(ALL[name]) == golden(name)


def test_personal_fields_are_stored_and_read_as_they_always_were() -> None:
    assert decode_personal(golden("personal")) == PERSONAL
    assert encode_event(PERSONAL) == golden("personal")
    assert decode_personal(None) is None
    assert decode_personal("{}") == Personal()


def test_a_kind_that_this_version_does_not_know_is_an_error() -> None:
    with pytest.raises(UnreadableEvent, match=r"an event \(unheard_of\) .*unknown kind"):
        decode_event("unheard_of", "{}")


def test_the_golden_snapshot_is_of_the_schema_that_is_written() -> None:
    # A new schema adds a golden file; a snapshot of another schema is ignored and rebuilt.
    assert snapshots.SCHEMA == 4


def test_a_stored_snapshot_is_read_as_it_was_meant() -> None:
    found = snapshots.decode("alice", golden("snapshot.4").encode())
    assert found == an_account()
    assert snapshots.decode("alice", golden("snapshot.4.empty").encode()) == Account("alice")


def test_what_few_holds_say_is_in_a_snapshot() -> None:
    account = an_account()
    assert account.holds is not None
    detail = HoldDetail(key="k", tags={"team": "a"}, units={"seconds": 1_500_000_000})
    details = [detail, None, None]
    account.holds = OpenHolds(
        [hold._replace(detail=one) for hold, one in zip(account.holds, details, strict=False)]
    )
    assert snapshots.encode(account).decode() == golden("snapshot.4.detail")
    assert snapshots.decode("alice", golden("snapshot.4.detail").encode()) == account


def test_what_few_periods_count_is_in_a_snapshot() -> None:
    account = an_account()
    assert account.current is not None
    account.current.tally = tally_of(TALLY)
    assert snapshots.encode(account).decode() == golden("snapshot.4.tally")
    assert snapshots.decode("alice", golden("snapshot.4.tally").encode()) == account


def test_other_providers_are_in_a_snapshot_in_the_order_in_which_they_came() -> None:
    account = an_account_of_others()
    assert snapshots.encode(account).decode() == golden("snapshot.4.others")
    found = snapshots.decode("alice", golden("snapshot.4.others").encode())
    assert found == account
    assert found.current is not None
    assert found.current.logged() == {
        "openai": (2, 0, 0),
        "runpod": (1, 0, 2),
        "vllm": (3, 4, 5),
    }
    (held, _) = found.held(found.at)
    assert held[PROVIDER_SLOTS] == 1  # of the text group


def test_a_snapshot_is_stored_as_it_always_was() -> None:
    assert snapshots.encode(an_account()).decode() == golden("snapshot.4")
    assert snapshots.encode(Account("alice")).decode() == golden("snapshot.4.empty")
