"""A ``track`` as a CloudEvent, in both modes: one event is one call, however it is sent."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.rig import Answer, Rig

SUBJECT = "usage.v1.track.alice"
DATA = {"provider": "tavily", "search_count": 2}
EVENT = {
    "specversion": "1.0",
    "id": "e 1/ü%",
    "source": "/gateway/ü",
    "type": "call",
    "time": "2026-03-15T11:59:00Z",
}


def binary(event: dict[str, str] = EVENT, more: str = "", prefix: str = "ce-") -> bytes:
    lines = [f"{prefix}{name}: {quote(value, safe='/:')}\r\n" for name, value in event.items()]
    return f"NATS/1.0\r\n{''.join(lines)}{more}\r\n".encode()


async def in_body(rig: Rig, **more: Any) -> Answer:
    return await rig.answer(
        rig.deliver(SUBJECT, json.dumps({**EVENT, "data": DATA, **more}).encode())
    )


async def in_headers(rig: Rig, headers: bytes, data: dict[str, Any] = DATA) -> Answer:
    return await rig.answer(rig.deliver(SUBJECT, json.dumps(data).encode(), headers=headers))


@pytest.mark.parametrize(
    "kind",
    [
        *("application/json", "application/json; charset=utf-8", 'APPLICATION/Json;x="y;z"'),
        *("application/vnd.meterd.call+json", "application/cloudevents+json ; a=b", None),
    ],
)
async def test_any_media_type_of_json_is_taken(rig: Rig, kind: str | None) -> None:
    assert (await in_body(rig, datacontenttype=kind)).code == ""
    assert (await rig.ask("stats")).body["total_calls"] == 1


@pytest.mark.parametrize("kind", ["text/plain", "application/jsonp", "application/xml", "json", ""])
async def test_any_other_media_type_is_refused_with_what_is_allowed(rig: Rig, kind: str) -> None:
    for answer in (
        await in_body(rig, datacontenttype=kind),
        await in_headers(rig, binary({**EVENT, "datacontenttype": kind})),
    ):
        assert (answer.code, answer.error["field"]) == ("invalid_request", "datacontenttype")
        assert "application/json" in answer.error["message"]


@pytest.mark.parametrize("prefix", ["ce-", "Ce-", "CE-"])
async def test_an_event_in_headers_is_the_same_content_as_in_the_body(
    rig: Rig, prefix: str
) -> None:
    first = await in_headers(rig, binary(prefix=prefix))
    assert (first.body["event_id"], first.body["duplicate"]) == (EVENT["id"], False)
    for again in (await in_headers(rig, binary(prefix=prefix)), await in_body(rig)):
        assert again.body == {**first.body, "duplicate": True}
    logged = (await rig.ask("logs")).body["logs"]
    assert [entry["timestamp"] for entry in logged] == [EVENT["time"]]


async def test_the_same_id_from_another_source_is_another_content(rig: Rig) -> None:
    await in_headers(rig, binary())
    other = await in_headers(rig, binary({**EVENT, "source": "/other"}))
    assert other.code == "idempotency_mismatch"


async def test_the_datas_own_key_and_time_come_first_and_the_messages_id_last(rig: Rig) -> None:
    own = {**DATA, "event_id": "own", "timestamp": "2026-03-15T11:58:00Z"}
    headers = binary(more="Nats-Msg-Id: m\r\n")
    assert (await in_headers(rig, headers, own)).body["event_id"] == "own"
    assert (await in_headers(rig, headers)).body["event_id"] == EVENT["id"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        *(({name: None}, name) for name in ("specversion", "id", "source", "type")),
        *(({"specversion": "0.3"}, "specversion"), ({"id": "x" * 129}, "id")),
        *(({"time": "yesterday"}, "time"), ({"time": "2026-03-15T12:00:00"}, "time")),
        ({"source": ""}, "source"),
    ],
)
async def test_an_attribute_that_is_missing_or_wrong_is_named_and_nothing_counts(
    rig: Rig, change: dict[str, str | None], field: str
) -> None:
    event = {name: value for name, value in {**EVENT, **change}.items() if value is not None}
    answer = await in_headers(rig, binary(event))
    assert (answer.code, answer.error["field"]) == ("invalid_request", field)
    assert (await rig.ask("stats")).body["total_calls"] == 0


async def test_a_value_that_is_not_utf_8_is_refused(rig: Rig) -> None:
    answer = await in_headers(rig, binary(more="ce-Subject: %FF\r\n"))
    assert (answer.code, answer.error["field"]) == ("invalid_request", "subject")


async def test_an_envelope_in_the_body_counts_and_its_headers_do_not(rig: Rig) -> None:
    headers = binary({**EVENT, "id": "of the headers"})
    answer = await in_headers(rig, headers, {**EVENT, "data": DATA})
    assert answer.body["event_id"] == EVENT["id"]


async def test_side_fields_are_clipped_in_both_modes(rig: Rig) -> None:
    data = {**DATA, "user_agent": "u" * 300}
    first = await in_headers(rig, binary(), data)
    assert first.body["clipped"] == ["user_agent"]
    assert (await in_body(rig, data=data)).body == {**first.body, "duplicate": True}


@pytest.mark.parametrize("head", ["X-ce-id: 1", "Nats-Msg-Id: ce-1", "ce-id"])
async def test_headers_that_are_not_of_a_cloudevent_change_nothing(rig: Rig, head: str) -> None:
    answer = await in_headers(rig, f"NATS/1.0\r\n{head}\r\n\r\n".encode())
    assert answer.code == ""
