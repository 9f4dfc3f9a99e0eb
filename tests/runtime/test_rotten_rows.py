"""Rows without a checksum that cannot be decoded: named by their position, and never a defect."""

from __future__ import annotations

import re
from typing import Any

import pytest

from messages.codec import decode_event
from messages.stored.events import (
    PeriodSealed,
)
from persistence.records import Row
from tests.runtime.test_damage import MONTHLY, Ask, ask, rebuild, use
from tests.support.damage import break_reads, damaged, refused_for_good, rot, row_of, said
from tests.support.faults import Fault
from tests.support.meter import micros
from tests.support.rig import Logs, Rig

GPT = {"provider": "openai", "model": "gpt-x", "cost_per_input_token": 1}


ROTTEN: dict[str, tuple[dict[str, Any], list[Ask]]] = {
    "usage": ({"body": "{"}, [ask("track", provider="tavily", event_id="u"), ask("logs")]),
    "usage ": ({"body": '{"p":7}'}, [ask("track", provider="tavily", event_id="u")]),
    "usage  ": (
        {"personal": '{"user_agent":7}'},
        [ask("track", provider="tavily", event_id="u"), ask("logs", event_id="u")],
    ),
    "usage   ": ({"at": 2**62}, [ask("logs", event_id="u"), ask("logs")]),
    "usage    ": ({"kind": "from_the_future"}, [ask("track", provider="exa", event_id="u")]),
    "subscribed": (
        {"body": "[]"},
        [ask("subscription"), ask("subscribe", **MONTHLY, event_id="s"), ask("alerts")],
    ),
    "subscribed ": ({"at": 2**62}, [ask("subscription")]),
    "period_sealed": (
        {"body": "{}"},
        [ask("trends", months=12), ask("dashboard"), ask("stats", billing_period="2025-01")],
    ),
}


@pytest.mark.parametrize("what", ROTTEN)
async def test_a_row_that_cannot_be_decoded_is_named_and_never_a_defect(
    rig: Rig, lines: Logs, what: str
) -> None:
    await rig.ask("subscribe", **MONTHLY, event_id="s")
    for month in ("03", "05", "09"):
        rig.clock.at = micros(f"2026-{month}-20T00:00:00Z")
        await rig.ask("track", provider="tavily", event_id="u" if month == "09" else None)
    await rig.idle()
    fields, asks = ROTTEN[what]
    seq = row_of(rig, what.strip()).seq
    rot(rig.inner, seq, **fields)
    message = f"not executed: row {seq} of meterd.db is not as it was written"
    for one in asks:
        refused_for_good(await one(rig), message)
    assert said(lines) == ["damaged"]
    assert (await rig.ask("stats")).body["total_calls"] == 1


async def test_a_closed_period_whose_end_is_no_moment_is_named(rig: Rig) -> None:
    for month in ("03", "05", "09"):
        rig.clock.at = micros(f"2026-{month}-20T00:00:00Z")
        await rig.ask("track", provider="tavily")
    await rig.idle()
    sealed = row_of(rig, "period_sealed")
    rot(rig.inner, sealed.seq, body=re.sub(r'"end":\d+', f'"end":{2**62}', sealed.body))
    message = f"not executed: row {sealed.seq} of meterd.db is not as it was written"
    event = decode_event(sealed.kind, sealed.body)
    assert isinstance(event, PeriodSealed)
    key = event.totals.key
    for one in (ask("trends", months=12), ask("stats", billing_period=key), ask("dashboard")):
        refused_for_good(await one(rig), message)


async def test_a_list_shows_a_user_by_id_alone_if_the_period_cannot_be_decoded(
    rig: Rig, lines: Logs
) -> None:
    for month in ("03", "05", "09"):
        rig.clock.at = micros(f"2026-{month}-20T00:00:00Z")
        for user in ("alice", "bob"):
            await rig.ask("track", user, provider="tavily")
    await rig.idle()
    for row in rig.inner._rows[:]:
        if (row.user, row.kind) == ("alice", "period_sealed"):
            rot(rig.inner, row.seq, body="{")
    alice, bob = (await rig.catalog("users.list", billing_period="2026-03")).body["users"]
    assert (alice["total_calls"], bob["total_calls"]) == (None, 1)
    assert {*said(lines)} == {"damaged"}


async def test_an_alert_that_was_raised_at_no_moment_is_named(rig: Rig) -> None:
    for _ in range(10):
        await rig.ask("track", provider="tavily")
    await rig.idle()
    seq = row_of(rig, "usage").seq
    rot(rig.inner, seq, at=2**62)
    message = f"not executed: row {seq} of meterd.db is not as it was written"
    refused_for_good(await rig.ask("alerts"), message)
    assert (await rig.ask("alerts", unread_only=True)).code == ""  # of the state


async def test_a_page_of_logs_ends_before_a_row_that_cannot_be_decoded(rig: Rig) -> None:
    for n in range(5):
        await rig.ask("track", provider="tavily", event_id=f"k{n}")
    await rig.idle()
    rot(rig.inner, 4, body="{")
    page = (await rig.ask("logs")).body
    assert [entry["event_id"] for entry in page["logs"]] == ["k4", "k3"]
    message = "not executed: row 4 of meterd.db is not as it was written"
    refused_for_good(await rig.ask("logs", cursor=page["next_cursor"]), message)


async def test_a_page_of_logs_ends_before_a_row_that_is_damaged(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        await rig.ask("track", provider="tavily", event_id=f"k{n}")
    await rig.idle()
    newest = rig.journal.newest

    async def broken(*args: Any) -> list[Row]:
        rows = await newest(*args)
        if any(row.seq == 4 for row in rows):
            raise damaged(4)
        return rows

    monkeypatch.setattr(rig.journal, "newest", broken)
    page = (await rig.ask("logs")).body
    assert [entry["event_id"] for entry in page["logs"]] == ["k4", "k3"]
    message = "not executed: row 4 of meterd.db is not as it was written"
    refused_for_good(await rig.ask("logs", cursor=page["next_cursor"]), message)


async def test_in_a_batch_only_the_event_whose_row_cannot_be_decoded_is_refused(
    rig: Rig, lines: Logs
) -> None:
    for n in range(3):
        await rig.ask("track", provider="tavily", event_id=f"k{n}")
    await rig.idle()
    rot(rig.inner, 3, body="{")
    live = rig.live("alice")
    events = [{"provider": "tavily", "event_id": f"k{n}"} for n in range(4)]
    body = (await rig.ask("batch", events=events)).body
    assert (body["accepted"], body["duplicates"], body["rejected"]) == (1, 2, 1)
    error = body["results"][1]["error"]
    assert (error["code"], error["retryable"], error["event_id"]) == ("unavailable", False, "k1")
    assert "row 3 of meterd.db" in error["message"]
    assert rig.live("alice") is live  # nothing of the state is in doubt
    assert said(lines) == ["damaged"]


async def test_a_state_that_needs_a_row_which_cannot_be_decoded_is_not_served(
    rig: Rig, lines: Logs
) -> None:
    await use(rig)
    seq = row_of(rig, "usage").seq
    rig = await rig.restart()
    rot(rig.inner, seq, body="{")
    message = f"not executed: row {seq} of meterd.db is not as it was written"
    for _ in range(3):
        refused_for_good(await rig.ask("stats"), message)
        rig.seconds += 60
    refused_for_good(await rebuild(rig), message)
    assert (await rig.ask("stats", "bob")).code == ""
    assert said(lines) == ["damaged"]
    await rig.stop()


# -- the catalogue


async def test_a_repeated_change_of_the_catalogue_whose_row_is_rotten_names_it(rig: Rig) -> None:
    assert (await rig.catalog("prices.put", **GPT, event_id="k")).code == ""
    await rig.idle()
    rot(rig.inner, 1, body="{")
    message = "not executed: row 1 of meterd.db is not as it was written"
    refused_for_good(await rig.catalog("prices.put", **GPT, event_id="k"), message)


async def test_a_price_in_force_from_no_moment_is_named_when_its_change_is_repeated(
    rig: Rig, lines: Logs
) -> None:
    price = {**GPT, "effective_from": "2026-01-01T00:00:00Z"}
    assert (await rig.catalog("prices.put", **price, event_id="k")).code == ""
    await rig.idle()
    body = rig.inner._rows[0].body
    rot(rig.inner, 1, body=re.sub(r'"effective_from":\d+', f'"effective_from":{2**62}', body))
    message = "not executed: row 1 of meterd.db is not as it was written"
    refused_for_good(await rig.catalog("prices.put", **price, event_id="k"), message)
    assert said(lines) == ["damaged"]


async def drop_the_catalogue(rig: Rig) -> None:
    """Have the next request load the catalogue's actor."""
    rig.journal.fail_appends(Fault.NOT_STORED)
    assert (await rig.catalog("prices.put", **GPT)).code == "unavailable"
    await rig.writer.ready()


async def test_while_a_service_runs_users_are_served_though_the_catalogue_is_damaged(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await rig.catalog("prices.put", **GPT)).code == ""
    await rig.idle()
    break_reads(monkeypatch, rig.journal, damaged(), users=[""])
    await drop_the_catalogue(rig)
    refused_for_good(await rig.catalog("plans.list"))
    answer = await rig.ask("track", provider="openai", model_used="gpt-x", tokens_input=2)
    assert answer.body["cost"] == 2
    assert said(lines).count("damaged") == 1
