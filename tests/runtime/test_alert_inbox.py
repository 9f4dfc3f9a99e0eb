"""Alerts from raise to read, through the actor and the log."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.meter import micros
from tests.support.rig import Rig


async def use_up(rig: Rig, user: str = "alice") -> list[str]:
    """Reach every threshold of one limit; the alert ids."""
    ids: list[str] = []
    for _ in range(10):
        ids += (await rig.ask("track", user, provider="exa")).body["alerts"]
    assert len(ids) == 3
    return ids


async def alerts(rig: Rig, **ask: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await rig.ask("alerts", **ask)).body
    return found


async def test_alerts_are_shown_newest_first_with_their_whole_life(rig: Rig) -> None:
    ids = await use_up(rig)
    body = await alerts(rig)
    assert [alert["id"] for alert in body["alerts"]] == ids[::-1]
    assert (body["total"], body["unread_count"]) == (3, 3)
    assert [a["severity"] for a in body["alerts"]] == ["error", "warning", "info"]
    rig.clock.at += 60_000_000
    reply = (await rig.ask("ack", ids=ids[:1])).body
    assert (reply["acked"], reply["unread_count"], reply["duplicate"]) == (1, 2, False)
    body = await alerts(rig)
    assert (body["total"], body["unread_count"]) == (3, 2)
    read = body["alerts"][2]
    assert (read["is_read"], read["read_at"]) == (True, "2026-03-15T12:01:00Z")
    assert not body["alerts"][0]["is_read"]
    assert [a["id"] for a in (await alerts(rig, unread_only=True))["alerts"]] == [ids[2], ids[1]]
    assert [a["id"] for a in (await rig.ask("stats")).body["alerts"]] == [ids[2], ids[1]]
    rig = await rig.restart()
    assert await alerts(rig) == body


async def test_all_marks_every_alert_read(rig: Rig) -> None:
    await use_up(rig)
    assert (await rig.ask("ack", all=True)).body["acked"] == 3
    assert (await alerts(rig, unread_only=True))["alerts"] == []
    assert (await rig.ask("ack", all=True)).body["acked"] == 0


async def test_an_alert_that_was_never_raised_is_unknown_and_nothing_is_changed(rig: Rig) -> None:
    ids = await use_up(rig)
    answer = await rig.ask("ack", ids=[ids[0], "nothing"])
    assert (answer.code, answer.error["field"]) == ("unknown_alert", "ids")
    assert (await alerts(rig))["unread_count"] == 3
    await rig.ask("ack", ids=ids)
    # Read ones are known, by the log.
    assert (await rig.ask("ack", ids=ids)).body["acked"] == 0


@pytest.mark.parametrize("body", [{}, {"all": False}, {"all": True, "ids": []}])
async def test_the_alerts_to_mark_are_named_in_exactly_one_way(
    rig: Rig, body: dict[str, Any]
) -> None:
    answer = await rig.ask("ack", **body)
    assert (answer.code, answer.error["field"]) == ("invalid_request", "ids")


async def test_alerts_of_one_period_are_found_and_others_give_an_empty_list(rig: Rig) -> None:
    await use_up(rig)
    rig.clock.at = micros("2026-04-02T00:00:00Z")
    later = await use_up(rig)
    body = await alerts(rig, billing_period="2026-04")
    assert [alert["id"] for alert in body["alerts"]] == later[::-1]
    assert (body["total"], body["unread_count"]) == (3, 3)
    assert (await alerts(rig))["total"] == 6
    empty = await alerts(rig, billing_period="2001-01")
    assert (empty["alerts"], empty["total"], empty["unread_count"]) == ([], 0, 0)
    assert len((await alerts(rig, limit=1))["alerts"]) == 1


async def test_an_acknowledgement_s_key_gives_the_original_reply(rig: Rig) -> None:
    ids = await use_up(rig)
    first = (await rig.ask("ack", ids=ids[:2], event_id="k")).body
    await rig.ask("ack", all=True)
    again = (await rig.ask("ack", ids=ids[1::-1], event_id="k")).body
    assert again == {**first, "duplicate": True}
    assert (await rig.ask("ack", ids=ids, event_id="k")).code == "idempotency_mismatch"


async def test_a_reset_arms_every_threshold_again(rig: Rig) -> None:
    first = await use_up(rig)
    await rig.ask("reset")
    second = await use_up(rig)
    assert not set(first) & set(second)
    assert (await alerts(rig))["total"] == 6
