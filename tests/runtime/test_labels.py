"""``outcome``, ``key`` and ``tags``: through the actor, the log and a restart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rig import Rig, Start

CALLS: list[dict[str, Any]] = [
    {"model_used": "gpt-4o", "key": "k-1", "tags": {"team": "a", "app": "chat"}},
    {"model_used": "gpt-4o", "key": "k-2", "tags": {"team": "b", "app": "chat"}},
    {"model_used": "gpt-4o-mini", "status_code": 500},
    {"model_used": "gpt-4o-mini", "status_code": 500, "outcome": "cancelled", "tags": {}},
    {"outcome": "unknown", "key": "k-1"},
]
"""The log shows them in this order backwards."""


async def tracked(rig: Rig) -> None:
    for number, call in enumerate(CALLS):
        answer = await rig.ask("track", provider="openai", event_id=f"c{number}", **call)
        assert answer.body["usage_logged"] is True


async def found(rig: Rig, **filters: Any) -> list[str]:
    logs = await rig.ask("logs", **filters)
    return sorted(entry["event_id"] for entry in logs.body["logs"])


async def test_what_a_call_says_of_itself_is_in_the_log_and_its_outcome_always(rig: Rig) -> None:
    await tracked(rig)
    logs = (await rig.ask("logs")).body["logs"][::-1]
    said = [(entry["outcome"], entry["key"], entry["tags"]) for entry in logs]
    assert said == [
        ("ok", "k-1", {"app": "chat", "team": "a"}),
        ("ok", "k-2", {"app": "chat", "team": "b"}),
        ("failed", None, None),
        ("cancelled", None, None),
        ("unknown", "k-1", None),
    ]


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"key": "k-1"}, ["c0", "c4"]),
        ({"key": "k"}, []),
        ({"model_used": "gpt-4o"}, ["c0", "c1"]),
        ({"model_used": "gpt-4"}, []),
        ({"outcome": "ok"}, ["c0", "c1"]),
        ({"outcome": "failed"}, ["c2"]),
        ({"tags": {"app": "chat"}}, ["c0", "c1"]),
        ({"tags": {"app": "chat", "team": "b"}}, ["c1"]),
        ({"tags": {"app": "chat", "team": "c"}}, []),
        ({"tags": {}}, ["c0", "c1", "c2", "c3", "c4"]),
        ({"key": "k-1", "outcome": "unknown", "provider": "openai"}, ["c4"]),
        ({"key": "k-1", "event_id": "c1"}, []),
        ({"key": "k-2", "event_id": "c1"}, ["c1"]),
    ],
)
async def test_a_page_shows_the_calls_that_have_all_that_is_asked_for(
    rig: Rig, filters: dict[str, Any], wanted: list[str]
) -> None:
    await tracked(rig)
    assert await found(rig, **filters) == wanted


async def test_a_cursor_is_bound_to_the_labels_that_were_asked_for(rig: Rig) -> None:
    await tracked(rig)
    first = await rig.ask("logs", limit=1, key="k-1")
    cursor = first.body["next_cursor"]
    second = await rig.ask("logs", limit=1, key="k-1", cursor=cursor)
    assert [entry["event_id"] for entry in second.body["logs"]] == ["c0"]
    for other in ({}, {"key": "k-2"}, {"key": "k-1", "tags": {"app": "chat"}}):
        refused = await rig.ask("logs", limit=1, cursor=cursor, **other)
        assert (refused.code, refused.error["field"]) == ("invalid_request", "cursor")


async def test_a_repeat_says_the_same_of_itself_whatever_is_left_to_the_default(rig: Rig) -> None:
    await tracked(rig)
    same: list[dict[str, Any]] = [
        CALLS[0] | {"outcome": "ok", "tags": {"app": "chat", "team": "a"}},
        CALLS[2] | {"outcome": "failed", "tags": {}},
    ]
    for number, body in zip((0, 2), same, strict=True):
        answer = await rig.ask("track", provider="openai", event_id=f"c{number}", **body)
        assert answer.body["duplicate"] is True
    others: list[dict[str, Any]] = [{"outcome": "ok"}, {"key": "k"}, {"tags": {"team": "a"}}]
    for body in others:
        answer = await rig.ask("track", provider="openai", event_id="c2", **CALLS[2] | body)
        assert answer.code == "idempotency_mismatch"


@pytest.mark.parametrize("snapshot_events", [1, 1_000])
async def test_holds_keep_what_they_say_over_restarts_and_an_extension(
    start: Start, snapshot_events: int
) -> None:
    rig = await start(snapshot_events=snapshot_events)
    asked: dict[str, Any] = {
        "provider": "gemini",
        "tokens_requested": 5,
        "key": "k-1",
        "tags": {"team": "a"},
    }
    held = await rig.ask("hold", event_id="h", **asked)
    assert held.body["allowed"] is True
    plan: dict[str, Any] = {"operations": [asked, {"provider": "exa"}], "hold": {"event_id": "p"}}
    assert (await rig.ask("preflight", **plan)).body["allowed"] is True
    await rig.ask("extend", hold_id="h", ttl=300)
    for body in (asked | {"key": "k-2"}, asked | {"tags": {}}):
        assert (await rig.ask("hold", event_id="h", **body)).code == "idempotency_mismatch"
    await rig.idle()
    rig = await rig.restart(snapshot_events=snapshot_events)
    holds = (await rig.ask("holds")).body["holds"]
    assert [(hold["hold_id"], hold["key"], hold["tags"]) for hold in holds] == [
        ("h", "k-1", {"team": "a"}),
        ("p.0", "k-1", {"team": "a"}),
        ("p.1", None, None),
    ]
    assert (await rig.ask("hold", event_id="h", **asked)).body["duplicate"] is True
    await rig.stop()
