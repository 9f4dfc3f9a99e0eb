"""Alerts and events: after they are durable, at least once, always the same."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict

import pytest

from actors import app
from actors.publishing import outbox
from persistence.errors import NotStored
from tests.support.faults import Fault
from tests.support.rig import WAIT_S, Logs, Published, Rig, Start, until


async def exhaust(rig: Rig, user: str = "alice", calls: int = 10) -> list[str]:
    """Use up a limit of the free plan; return the ids of the alerts in the replies."""
    answers = [await rig.ask("track", user, provider="tavily") for _ in range(calls)]
    return [alert for answer in answers for alert in answer.body["alerts"]]


def alerts(published: list[Published]) -> list[Published]:
    return [one for one in published if ".alert." in one.subject]


def one_content_each(published: list[Published]) -> None:
    contents = defaultdict(set)
    for one in published:
        contents[one.id].add((one.subject, one.payload))
    assert all(len(found) == 1 for found in contents.values())


async def test_each_threshold_is_published_once_with_the_id_of_the_reply(rig: Rig) -> None:
    ids = await exhaust(rig)
    await rig.idle()
    found = alerts(rig.link.published)

    assert [one.id for one in found] == ids
    assert [one.subject for one in found] == [
        f"usage.v1.alert.alice.tavily_calls.{threshold}" for threshold in (80, 90, 100)
    ]
    assert [json.loads(one.payload)["id"] for one in found] == ids
    shown = (await rig.ask("stats")).body["alerts"]
    assert shown == [json.loads(one.payload) for one in reversed(found)]


async def test_nothing_is_published_before_it_is_durable(rig: Rig) -> None:
    rig.journal.appends.close()
    asked = [rig.track() for _ in range(10)]
    await rig.journal.appends.waiting.wait()
    assert rig.link.published == []
    rig.journal.appends.open()
    await rig.answers(*asked)
    await rig.idle()
    assert [one.subject.split(".")[2] for one in rig.link.published] == ["event", *["alert"] * 3]


async def test_an_alert_that_was_not_stored_is_not_published(rig: Rig) -> None:
    await exhaust(rig, calls=7)
    await rig.idle()
    rig.journal.fail_appends(Fault.NOT_STORED, Fault.UNKNOWN_AND_LOST)
    for _ in range(2):
        await rig.ask("track", provider="tavily")
    await rig.idle()
    assert alerts(rig.link.published) == []
    ids = await exhaust(rig, calls=1)
    await rig.idle()
    assert [one.id for one in alerts(rig.link.published)] == ids


@pytest.mark.parametrize("position", ["stored", "lost"])
async def test_after_a_crash_alerts_that_may_not_have_left_are_published_again(
    rig: Rig, start: Start, position: str
) -> None:
    ids = await exhaust(rig)
    await rig.idle()
    await rig.ask("reset", reason="renewal")
    await rig.idle()
    first = rig.link.published
    await rig.crash()
    if position == "lost":
        rig.inner._published = 0
    again = await start(rig.inner)
    await again.idle()

    assert again.link.published == (first if position == "lost" else [])
    assert {one.id for one in alerts(first)} == set(ids)
    one_content_each([*first, *again.link.published])


async def test_alerts_that_could_not_leave_before_a_crash_leave_after_it(
    rig: Rig, start: Start
) -> None:
    rig.link.publishing.close()
    ids = await exhaust(rig)
    await rig.crash()
    assert rig.link.published == []
    again = await start(rig.inner)
    await again.idle()
    assert [one.id for one in alerts(again.link.published)] == ids


@pytest.mark.parametrize(("failing", "flushes"), [(3, 0), (0, 3), (2, 2)])
async def test_a_failure_to_publish_or_to_flush_is_tried_again_with_the_same_content(
    rig: Rig, failing: int, flushes: int
) -> None:
    rig.link.failing, rig.link.failing_flushes = failing, flushes
    ids = await exhaust(rig)
    await rig.ask("track", "bob", provider="tavily")
    await rig.idle()

    one_content_each(rig.link.published)
    assert {one.id for one in alerts(rig.link.published)} == set(ids)
    seen = list(dict.fromkeys(one.id for one in alerts(rig.link.published)))
    assert seen == ids
    assert await rig.inner.published() == await last_notice(rig)


async def test_what_cannot_be_published_for_hours_does_not_fill_the_log(
    rig: Rig, lines: Logs
) -> None:
    rig.link.failing = 1_000
    await exhaust(rig)
    await rig.idle()
    assert [line["error"] for line in lines if line["event"] == "publish_failed"] == ["injected"]


async def test_a_full_queue_falls_back_to_the_log(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "QUEUE_MAX", 3)
    monkeypatch.setattr(outbox, "BATCH", 2)
    await rig.ask("track", "bob", provider="tavily")
    await rig.idle()
    rig.link.publishing.close()
    ids = [one for n in range(5) for one in await exhaust(rig, f"u{n}")]
    assert len(rig.relay._queue) <= 3
    rig.link.publishing.open()
    await rig.idle()

    assert [one.id for one in alerts(rig.link.published)] == ids
    assert len({one.id for one in rig.link.published}) == len(rig.link.published) == 6 + 15
    assert await rig.inner.published() == await last_notice(rig)


async def last_notice(rig: Rig) -> int:
    return max(row.seq for row in await rig.inner.rows(0, 10_000) if row.notify)


async def test_the_position_advances_and_a_restart_publishes_nothing_again(
    rig: Rig, start: Start
) -> None:
    await exhaust(rig)
    await rig.idle()
    assert await rig.inner.published() == await last_notice(rig)
    await rig.stop()
    again = await start(rig.inner)
    await exhaust(again, "bob", 1)
    await again.idle()
    assert [one.subject for one in again.link.published] == ["usage.v1.event.period_opened.bob"]


async def test_a_position_that_cannot_be_stored_loses_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, failures = rig.journal.mark_published, iter([True, True, False])

    async def failing(seq: int) -> None:
        if next(failures, False):
            raise NotStored("injected")
        await mark(seq)

    monkeypatch.setattr(rig.journal, "mark_published", failing)
    ids = await exhaust(rig)
    await rig.idle()
    one_content_each(rig.link.published)
    assert {one.id for one in alerts(rig.link.published)} == set(ids)


async def test_a_stop_publishes_what_is_left(rig: Rig) -> None:
    rig.link.publishing.close()
    ids = await exhaust(rig)
    stopping = asyncio.create_task(rig.stop())
    await until(lambda: rig.link.deliver is None)
    rig.link.publishing.open()
    await stopping
    assert [one.id for one in alerts(rig.link.published)] == ids


async def test_a_stop_does_not_wait_for_ever_for_publications(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_OUTBOX_S", 0)
    rig.link.publishing.close()
    await exhaust(rig)
    async with asyncio.timeout(WAIT_S):
        await rig.stop()
    assert rig.link.published == []


async def test_a_rearmed_threshold_is_published_under_a_new_id(rig: Rig) -> None:
    first = await exhaust(rig)
    await rig.ask("reset")
    second = await exhaust(rig)
    await rig.idle()
    assert len(set(first + second)) == 6
    assert [one.id for one in alerts(rig.link.published)] == first + second
