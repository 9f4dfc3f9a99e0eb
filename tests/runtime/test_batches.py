"""Batches and CloudEvents, through the actor and the log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from messages.codec import decode_event
from tests.support.faults import Fault
from tests.support.rig import Rig

CLOUD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/gateway",
    "type": "call",
    "time": "2026-03-15T11:00:00Z",
    "data": {"provider": "gemini", "tokens_input": 5},
}


def codes(body: dict[str, Any]) -> list[str]:
    return [found["error"]["code"] if "error" in found else "" for found in body["results"]]


async def test_bad_events_between_good_ones_are_refused_and_the_good_ones_count(rig: Rig) -> None:
    events = [
        {"provider": "gemini", "event_id": "a", "tokens_input": 5},
        {"provider": "nobody", "event_id": "b"},
        {"provider": "gemini", "tokens_input": -1},
        7,
        {"provider": "gemini", "cost": "1"},
        {"provider": "gemini", "deadline": "2030-01-01T00:00:00Z"},
        {"provider": "gemini", "event_id": "c", "timestamp": "2020-01-01T00:00:00Z"},
        {"provider": "exa"},
    ]
    body = (await rig.ask("batch", events=events, event_id="k")).body
    assert codes(body) == [
        *("", "unknown_provider", "invalid_request", "invalid_request", "invalid_request"),
        *("invalid_request", "timestamp_out_of_range", ""),
    ]
    fields = [found["error"]["field"] for found in body["results"] if "error" in found]
    assert fields == ["provider", "tokens_input", None, "cost", "deadline", "timestamp"]
    assert [body[x] for x in ("accepted", "duplicates", "rejected")] == [2, 0, 6]
    assert body["results"][7]["event_id"] == "k.7"
    assert body["seq"] == body["results"][7]["seq"] == 3
    assert (await rig.ask("stats")).body["total_calls"] == 2


async def test_events_are_judged_on_top_of_those_before_them(rig: Rig) -> None:
    events = [{"provider": "exa"}] * 10
    body = (await rig.ask("batch", events=events)).body
    assert [len(found["alerts"]) for found in body["results"]] == [0] * 7 + [1, 1, 1]
    assert body["results"][9]["usage_status"] == "limit_reached"


async def test_a_key_that_comes_twice_counts_once_within_a_batch_and_across(rig: Rig) -> None:
    one: dict[str, Any] = {"provider": "gemini", "tokens_input": 5, "event_id": "a"}
    events = [one, one, {**one, "tokens_input": 6}, {**one, "event_id": "b"}]
    body = (await rig.ask("batch", events=events)).body
    assert codes(body) == ["", "", "idempotency_mismatch", ""]
    assert body["results"][1] == {**body["results"][0], "duplicate": True}
    assert [body[x] for x in ("accepted", "duplicates", "rejected")] == [2, 1, 1]
    again = (await rig.ask("batch", events=[one, {"provider": "gemini"}])).body
    assert again["results"][0] == body["results"][1]
    assert [again[x] for x in ("accepted", "duplicates", "rejected")] == [1, 1, 0]
    alone = (await rig.ask("track", **one)).body
    assert alone == body["results"][1]


async def test_a_batch_that_is_repeated_changes_nothing(rig: Rig) -> None:
    events = [{"provider": "gemini"}, {"provider": "exa", "event_id": "e"}]
    first = (await rig.ask("batch", events=events, event_id="k")).body
    await rig.ask("track", provider="gemini")
    again = (await rig.ask("batch", events=events, event_id="k")).body
    assert [again[x] for x in ("accepted", "duplicates", "rejected")] == [0, 2, 0]
    assert again["duplicate"]
    assert [{**found, "duplicate": False} for found in again["results"]] == first["results"]
    assert again["seq"] == first["seq"]


async def test_an_empty_batch_is_answered(rig: Rig) -> None:
    body = (await rig.ask("batch", events=[])).body
    assert (body["results"], body["accepted"], body["seq"]) == ([], 0, 0)


async def test_over_a_thousand_events_are_too_large(rig: Rig) -> None:
    event = {"provider": "exa"}
    refused = await rig.ask("batch", events=[event] * 1001)
    assert (refused.code, refused.error["field"]) == ("too_large", "events")
    assert (await rig.ask("batch", events=[event] * 1000)).body["accepted"] == 1000


@pytest.mark.parametrize(
    "event",
    [{"provider": "exa", "actual_provider_name": '"' * 256}, {'"' * 200: 1}],
    ids=["good", "bad"],
)
async def test_a_batch_whose_reply_would_be_too_large_is_refused_before_it_counts(
    rig: Rig, event: dict[str, Any]
) -> None:
    answer = await rig.ask(
        "batch", events=[{"provider": "exa"}, *[event] * 900], event_id='"' * 128
    )
    assert answer.code == "too_large"
    assert (await rig.ask("stats")).body["seq"] == 0


@pytest.mark.parametrize(
    "said",
    [
        {"model_used": "a"},
        {
            "price_factors": ["\1" * 48, "\2" * 48],
            "units": dict.fromkeys(["seconds", "characters", "web_searches", "file_searches"], 1),
        },
    ],
    ids=["the name of a row", "what has no price"],
)
async def test_no_reply_says_more_of_prices_than_it_may(rig: Rig, said: dict[str, Any]) -> None:
    """A short request may be priced by a row with a long name."""
    row = {"provider": "exa", "model": "\1" * 256, "aliases": ["a"], "cost_per_request": 0.1}
    assert (await rig.catalog("prices.put", **row)).code == ""
    answer = await rig.ask("batch", events=[{"provider": "exa", **said}] * 900)
    assert answer.code == "too_large"
    assert (await rig.ask("stats")).body["seq"] == 0
    answer = await rig.ask("batch", events=[{"provider": "exa", **said}] * 300)
    assert answer.body["accepted"] == 300
    assert len(answer.payload) < 900 * 1024


@pytest.mark.parametrize("name", ['"', "\U000e0001", "x"])
async def test_no_reply_to_bad_events_is_too_large(rig: Rig, name: str) -> None:
    batch = {"events": [{"provider": name * 64}] * 1000, "event_id": "k" * 128}
    payload = json.dumps(batch, ensure_ascii=False).encode()
    answer = await rig.answer(rig.deliver("usage.v1.batch.alice", payload))
    assert answer.body["rejected"] == 1000
    assert len(answer.payload) < 900 * 1024


async def test_all_events_of_a_batch_are_one_durable_write(rig: Rig) -> None:
    rig.journal.appends.close()
    sent = rig.send("batch", events=[{"provider": "exa"}] * 100)
    rig.journal.fail_appends(Fault.NOT_STORED)
    rig.journal.appends.open()
    assert (await rig.answer(sent)).code in {"unavailable", "outcome_unknown"}
    assert (await rig.ask("stats")).body["total_calls"] == 0


async def test_batches_settle_holds_and_tell_how_others_ended(rig: Rig) -> None:
    for name in ("h1", "h2"):
        await rig.ask("hold", provider="gemini", event_id=name)
    await rig.ask("release", hold_id="h2")
    events = [{"provider": "gemini", "hold_id": hold} for hold in ("h1", "h1", "h2", "h3")]
    rig = await rig.restart()
    body = (await rig.ask("batch", events=events)).body
    found = [(each["hold_status"], each["late_settle"]) for each in body["results"]]
    assert found == [("settled", False), ("settled", True), ("released", True), ("unknown", True)]


async def test_a_batch_forgets_no_ended_hold_while_it_runs(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.billing.state.apply.ENDED_MAX", 1)
    for name in ("h1", "h2"):
        await rig.ask("hold", provider="gemini", event_id=name)
    await rig.ask("release", hold_id="h1")
    events = [{"provider": "gemini", "hold_id": hold} for hold in ("h2", "h1")]
    body = (await rig.ask("batch", events=events)).body
    assert [each["hold_status"] for each in body["results"]] == ["settled", "released"]


async def test_a_batch_that_lost_its_actor_knows_how_holds_ended_all_the_same(rig: Rig) -> None:
    await rig.ask("hold", provider="exa", event_id="h")
    await rig.ask("release", hold_id="h")
    await rig.ask("track", provider="exa", event_id="known")
    events = [{"provider": "exa", "event_id": "known"}, {"provider": "exa", "hold_id": "h"}]
    rig.journal.fail_appends(Fault.NOT_STORED)
    rig.journal.appends.close()
    lost = rig.track()
    await rig.journal.appends.waiting.wait()
    rig.journal.appends.open()
    sent = rig.send("batch", events=events)  # handled before the write fails, looked up after
    assert [answer.code for answer in await rig.answers(lost, sent)] == ["unavailable"] * 2
    body = (await rig.ask("batch", events=events)).body
    assert [result["hold_status"] for result in body["results"]] == [None, "released"]


async def test_a_cloud_event_is_a_track(rig: Rig) -> None:
    first = (await rig.ask("track", **CLOUD)).body
    assert (first["event_id"], first["tokens_used"]) == ("e-1", 5)
    assert (await rig.ask("track", **CLOUD)).body == {**first, "duplicate": True}
    (entry,) = (await rig.ask("logs")).body["logs"]
    assert entry["timestamp"] == "2026-03-15T11:00:00Z"
    row = rig.inner._rows[-1]
    assert decode_event(row.kind, row.body).source == "/gateway"  # type: ignore[union-attr]
    body = (await rig.ask("batch", events=[CLOUD, {**CLOUD, "id": "e-2"}])).body
    assert [body["duplicates"], body["accepted"]] == [1, 1]


async def test_the_same_id_from_another_source_is_never_lost_in_silence(rig: Rig) -> None:
    await rig.ask("track", **CLOUD)
    other = await rig.ask("track", **{**CLOUD, "source": "/other"})
    assert other.code == "idempotency_mismatch"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, "id"),
        ({"source": None}, "source"),
        ({"data": {"provider": "gemini", "nonsense": 1}}, "nonsense"),
        ({"data": 5}, None),
        ({"time": "yesterday"}, "time"),
        ({"datacontenttype": "text/xml"}, "datacontenttype"),
    ],
)
async def test_an_invalid_cloud_event_is_refused_and_its_field_named(
    rig: Rig, change: dict[str, Any], field: str | None
) -> None:
    answer = await rig.ask("track", **{**CLOUD, **change})
    assert (answer.code, answer.error["field"]) == ("invalid_request", field)


async def test_a_call_that_only_speaks_of_cloud_events_is_refused_by_its_own_field(
    rig: Rig,
) -> None:
    about: dict[str, Any] = {"metadata": {"specversion": "1.0"}}
    answer = await rig.ask("track", provider="exa", tokens_input=-1, **about)
    assert (answer.code, answer.error["field"]) == ("invalid_request", "tokens_input")
