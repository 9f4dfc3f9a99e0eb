from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, get_args

import pytest

from actors.billing.publications import Notice, notices_of, notifies
from actors.billing.state.apply import apply
from messages.codec import encode_reply
from messages.stored.events import (
    KIND,
    Event,
)
from tests.support.meter import Entry, Meter, micros, nano, plan

APRIL = micros("2026-04-01T00:00:00Z")
PREFIX = "usage.v1"


def notices(row: Entry, user: str = "alice") -> list[Notice]:
    return notices_of(PREFIX, user, row.event, row.at, row.seq)


def bodies(row: Entry) -> list[dict[str, Any]]:
    return [json.loads(notice.payload, parse_float=Decimal) for notice in notices(row)]


def history() -> Meter:
    """A log with every kind of event."""
    meter = Meter()
    for _ in range(3):
        meter.track("stability", cost=Decimal("0.1"))
    meter.reset(reason="renewal")
    meter.track("gemini", tokens_input=7, cost=1)
    meter.at = APRIL
    meter.track("gemini")
    meter.track("gemini", cost=1, timestamp=APRIL - 1)
    for month in ("2026-05-10", "2026-07-02"):
        meter.at = micros(f"{month}T00:00:00Z")
        meter.track()
    meter.track(timestamp=micros("2026-06-05T00:00:00Z"))
    meter.do("subscribe", plan="Pro", billing_cycle="monthly")
    meter.do("hold", provider="openai", event_id="h")
    meter.do("extend", hold_id="h", ttl=90)
    meter.do("release", hold_id="h")
    meter.do("preflight", operations=[{"provider": "openai"}], hold={"event_id": "p"})
    meter.do("ack", all=True)
    meter.do("suspend", reason="not paid")
    return meter


HISTORY = history()


def rows(kind: str) -> list[Entry]:
    found = [row for row in HISTORY.log if row.kind == kind]
    assert found
    return found


def test_the_history_has_every_kind_of_event() -> None:
    assert {row.kind for row in HISTORY.log} == {KIND[kind] for kind in get_args(Event)}


def test_a_row_is_marked_exactly_if_it_has_something_to_publish() -> None:
    for row in HISTORY.log:
        assert notifies(row.event) == bool(notices(row)), row.kind
    assert not any(notices(row) for row in rows("period_sealed") + rows("period_added"))


def test_an_alert_is_published_as_the_object_that_stats_shows_under_its_limit_and_threshold() -> (
    None
):
    meter = Meter(terms=plan({"openai_calls": 1, "monthly_cost": nano(10)}))
    meter.track("openai", cost=9)
    found = notices(meter.log[-1])
    shown = {alert.id: alert for alert in meter.stats().alerts}
    assert [notice.subject for notice in found] == [
        "usage.v1.alert.alice.openai_calls.80",
        "usage.v1.alert.alice.monthly_cost.80",
        "usage.v1.alert.alice.openai_calls.90",
        "usage.v1.alert.alice.monthly_cost.90",
        "usage.v1.alert.alice.openai_calls.100",
    ]
    for notice in found:
        assert notice.payload == encode_reply(shown[notice.id])
    (alert,) = (json.loads(n.payload, parse_float=Decimal) for n in found if "cost.90" in n.subject)
    assert set(alert) == {
        *("id", "type", "threshold_percentage", "severity", "user_id", "limit_name", "unit"),
        *("provider", "title", "message", "used", "limit", "billing_period", "created_at"),
        *("is_read", "read_at", "seq"),
    }
    assert (alert["used"], alert["limit"], alert["unit"]) == (9, 10, "cost")
    assert (alert["user_id"], alert["seq"]) == ("alice", meter.log[-1].seq)
    assert alert["created_at"] == "2026-03-15T12:00:00Z"


def test_a_first_period_is_opened_and_a_later_one_closes_the_one_before_it() -> None:
    first, second, *_ = rows("period_rolled")
    assert [(n["kind"], n["billing_period"]) for n in bodies(first)] == [
        ("period_opened", "2026-03")
    ]
    closed, opened = bodies(second)
    assert (closed["kind"], closed["billing_period"]) == ("period_closed", "2026-03")
    assert (opened["kind"], opened["billing_period"]) == ("period_opened", "2026-04")
    assert (opened["period_start"], opened["period_end"]) == (
        "2026-04-01T00:00:00Z",
        "2026-05-01T00:00:00Z",
    )
    stats = closed["stats"]
    assert (stats["billing_period"], stats["total_calls"], stats["total_cost"]) == ("2026-03", 1, 1)
    assert stats["period_end"] == "2026-04-01T00:00:00Z"
    assert stats["seq"] == closed["seq"] == second.seq


def test_a_late_event_publishes_what_its_closed_period_counts_now() -> None:
    (row,) = (row for row in rows("usage") if "period_adjusted" in str(notices(row)))
    (adjusted,) = bodies(row)
    assert adjusted["billing_period"] == "2026-03"
    assert adjusted["totals"] == {"calls": 5, "tokens": 7, "cost": Decimal("2.3")}


def test_a_reset_is_published_with_its_reason() -> None:
    (row,) = rows("reset")
    (body,) = bodies(row)
    assert (body["kind"], body["reason"], body["billing_period"]) == ("reset", "renewal", "2026-03")
    assert notices(row)[0].subject == "usage.v1.event.reset.alice"


def test_the_subject_of_an_event_has_its_kind_and_the_users_token() -> None:
    (notice,) = notices(rows("reset")[0], "a@b")
    assert notice.subject == "usage.v1.event.reset.a=40b"


@pytest.mark.parametrize("kind", ["period_rolled", "reset", "usage"])
def test_every_event_says_when_and_where_it_happened(kind: str) -> None:
    for row in rows(kind):
        for notice, body in zip(notices(row), bodies(row), strict=True):
            assert body["id"] == notice.id
            assert (body["user_id"], body["seq"]) == ("alice", row.seq)


def test_the_same_row_gives_the_same_bytes_however_often_it_is_published() -> None:
    for row in HISTORY.log:
        assert notices(row) == notices(row)


def test_no_two_notices_share_an_id() -> None:
    ids = [n.id for row in HISTORY.log for user in ("alice", "bob") for n in notices(row, user)]
    alerts = [alert.id for event in HISTORY.usage for alert in event.alerts]
    # An alert's id is part of its event, which is of one user.
    assert len(set(ids)) == len(ids) - len(alerts)


def test_notices_stay_within_what_a_server_takes() -> None:
    meter = Meter()
    for n in range(150):
        meter.track(model_used=f"{n}-" + "\u00fc" * 250, actual_provider_name=f"{n}-" + "x" * 250)
    meter.at = APRIL
    meter.wake()
    assert max(len(notice.payload) for row in meter.log for notice in notices(row)) < 900 * 1024


def told(meter: Meter) -> list[tuple[str, str, Any]]:
    """What was published of periods that are over: kind, period and its calls."""
    found = []
    for row in meter.log:
        for body in bodies(row):
            if body["kind"] in {"period_closed", "period_adjusted"}:
                counted = body["stats"] or body["totals"]
                calls = counted["total_calls" if body["stats"] else "calls"]
                found.append((body["kind"], body["billing_period"], calls))
    return found


def test_a_period_that_was_slept_through_is_announced_with_its_first_late_usage() -> None:
    meter = Meter(at=micros("2026-11-20T00:00:00Z"))
    meter.track("gemini", tokens_input=1000)
    meter.at = micros("2027-01-05T00:00:00Z")
    meter.track("gemini")
    late = "2026-12-20T00:00:00Z"
    meter.track("gemini", tokens_input=500, status_code=500, timestamp=late)
    assert told(meter) == [("period_closed", "2026-11", 1), ("period_closed", "2026-12", 1)]
    (body,) = bodies(meter.log[-2])
    stats = body["stats"]
    assert (stats["total_tokens"], stats["error_count"]) == (500, 1)
    assert (body["period_start"], body["period_end"]) == (
        "2026-12-01T00:00:00Z",
        "2027-01-01T00:00:00Z",
    )
    shown = json.loads(encode_reply(meter.stats("2026-12")))
    assert {k: v for k, v in json.loads(encode_reply(stats)).items() if k != "seq"} == {
        k: v for k, v in shown.items() if k != "seq"
    }
    meter.track("gemini", timestamp=late)
    assert told(meter)[2:] == [("period_adjusted", "2026-12", 2)]


def test_a_new_user_whose_first_call_is_late_has_its_period_announced() -> None:
    meter = Meter(at=micros("2027-01-05T00:00:00Z"))
    meter.track("gemini", timestamp="2026-12-20T00:00:00Z")
    assert told(meter) == [("period_closed", "2026-12", 1)]
    for _ in range(2):
        meter.track("gemini", timestamp="2026-12-21T00:00:00Z")
    assert told(meter)[1:] == [("period_adjusted", "2026-12", 2), ("period_adjusted", "2026-12", 3)]


def test_a_period_that_an_older_log_never_announced_is_announced_with_its_next_late_usage() -> None:
    meter = Meter(at=micros("2027-01-05T00:00:00Z"))
    meter.track("gemini", timestamp="2026-12-20T00:00:00Z")
    older = Meter(at=meter.at)
    for row in meter.log:
        if row.kind != "period_closed":
            apply(older.account, row.event, row.at, row.seq)
            older.log.append(row)
    older.track("gemini", timestamp="2026-12-21T00:00:00Z")
    assert told(older) == [("period_closed", "2026-12", 2)]


def test_every_late_event_tells_of_its_period_whatever_came_before() -> None:
    meter = Meter(at=micros("2026-12-20T00:00:00Z"))
    meter.track("gemini")
    meter.reset()
    meter.do("subscribe", plan="Pro", billing_cycle="monthly")
    for day in ("2026-12-01", "2026-11-20", "2026-12-19", "2026-11-21"):
        before = len(told(meter))
        meter.track("gemini", timestamp=f"{day}T00:00:00Z")
        assert len(told(meter)) == before + 1
