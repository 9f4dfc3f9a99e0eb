"""The longest turn of the loop, in instructions, whatever is asked: others wait as long as that.

A figure here is a bound and no measurement: a `track` takes some 3,000 instructions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.billing.catalog import price_changes
from messages.stored.form import FORM
from messages.subjects import PREFIX
from persistence.sqlite.journal import SQLiteJournal
from tests.support.ended import END, write_ended
from tests.support.faults import FaultyJournal
from tests.support.rig import Answer, Rig, Start
from tests.support.turns import Turns, turns_of_the_loop

TURN = 30_000
"""Instructions: under two milliseconds on a machine of 2020."""


async def measured(rig: Rig, subject: str, **body: Any) -> tuple[Turns, Answer]:
    """Ask something; the turns that it took, that in which it arrived among them."""
    payload = json.dumps(body).encode()
    with turns_of_the_loop() as turns:
        to = turns.measure(lambda: rig.deliver(f"{PREFIX}.{subject}", payload))
        answer = await rig.answer(to)
    assert answer.code == "", answer.payload
    return turns, answer


async def with_prices(rig: Rig, count: int) -> None:
    """Have so many prices of one model, each valid from a day of its own."""
    for day in range(count):
        month, rest = divmod(day, 28)
        since = f"{2030 + month // 12}-{month % 12 + 1:02}-{rest + 1:02}T00:00:00Z"
        answer = await rig.catalog(
            "prices.put",
            provider="openai",
            model="gpt-9",
            cost_per_input_token=0.1,
            effective_from=since,
        )
        assert answer.code == "", answer.payload


async def test_a_page_of_prices_is_made_in_turns(rig: Rig) -> None:
    await with_prices(rig, 600)
    turns, answer = await measured(rig, "catalog.prices.list")
    assert len(answer.body["prices"]) > 600
    assert turns.total > 5 * TURN
    assert turns.longest < TURN


async def test_prices_are_loaded_in_turns_and_each_costs_the_same(rig: Rig) -> None:
    totals = []
    for _ in range(2):
        await with_prices(rig, 400)
        rig = await rig.restart()
        turns, answer = await measured(rig, "catalog.providers.list")
        assert len(answer.body["providers"]) > 14
        totals.append(turns.total)
        assert turns.longest < TURN
    await rig.stop()
    assert totals[1] < 2.2 * totals[0]


async def test_a_call_long_ago_of_a_model_with_many_prices_is_one_turn_as_any(rig: Rig) -> None:
    """All prices are of the future: the one of now is behind all of them."""
    await rig.ask("track", provider="openai", model_used="gpt-9")
    costs = []
    for count in (1, 300):
        await with_prices(rig, count)
        call = {"provider": "openai", "model_used": "gpt-9", "tokens_input": 5}
        turns, answer = await measured(rig, "track.alice", **call)
        assert answer.code == ""
        costs.append(turns.longest)
    assert costs[1] < 1.1 * costs[0] + 150  # what its names come to is found anew


async def test_the_catalogue_is_never_dropped_to_be_loaded_again(start: Start) -> None:
    rig = await start(idle_s=1, live_users_max=2)
    await rig.catalog("providers.list")
    actor = rig.live("")
    for number in range(10):
        await rig.ask("track", f"u{number}", provider="exa")
        rig.seconds += 100
        rig.registry.passivate()
    assert rig.live("") is actor
    assert len(rig.registry) <= 3


async def test_a_model_has_a_most_of_prices_and_the_error_says_so(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_changes, "PRICES_OF_MODEL_MAX", 3)
    await with_prices(rig, 3)
    row: dict[str, Any] = {"provider": "openai", "model": "gpt-9", "cost_per_input_token": 1}
    answer = await rig.catalog("prices.put", **row)
    assert (answer.code, answer.error["field"]) == ("invalid_request", "model")
    assert answer.error["message"] == "the model has 3 prices, which is the most"
    assert (await rig.catalog("prices.put", **{**row, "model": "gpt-10"})).code == ""
    prices = await rig.catalog("prices.list", provider="openai", model="gpt-9")
    assert len(prices.body["prices"]) == 3


async def test_a_page_of_users_is_made_in_turns(rig: Rig) -> None:
    for number in range(300):
        await rig.ask("track", f"u{number}", provider="exa")
    turns, live = await measured(rig, "catalog.users.list", limit=300)
    assert turns.longest < TURN
    rig = await rig.restart()
    turns, away = await measured(rig, "catalog.users.list", limit=300)
    await rig.stop()
    assert turns.longest < TURN
    assert len(live.body["users"]) == 300
    assert live.body["users"] == away.body["users"]


async def test_users_with_many_rows_behind_their_snapshots_are_loaded_in_turns(rig: Rig) -> None:
    users = [f"u{number}" for number in range(8)]
    for user in users:
        events = [{"provider": "exa"}] * (60 if user != "u0" else 700)
        await rig.ask("batch", user, events=events)
    rig = await rig.restart()
    with turns_of_the_loop() as turns:
        asked = [rig.send("enforce", user, provider="exa") for user in users]
        answers = await rig.answers(*asked)
    await rig.stop()
    assert {answer.code for answer in answers} == {""}
    assert turns.total > 5 * TURN
    assert turns.longest < 2 * TURN  # it may have the rows of two users


async def test_trends_of_a_user_with_many_closed_periods_take_a_short_turn(rig: Rig) -> None:
    for _ in range(120):
        answer = await rig.ask("subscribe", plan="Pro", billing_cycle="monthly", period="new")
        assert answer.code == ""
        rig.clock.at += 1_000_000
    assert len(rig.live("alice").account.closed) > 100
    turns, answer = await measured(rig, "trends.alice", months=6)
    assert len(answer.body["periods"]) == 6
    assert turns.longest < TURN


async def test_a_list_of_as_many_holds_as_there_may_be_is_made_in_turns(rig: Rig) -> None:
    await rig.ask("subscribe", plan="Enterprise", billing_cycle="monthly")
    for number in range(10):
        operations = [{"provider": "exa"}] * 100
        hold = {"ttl": 60, "event_id": f"{number}"}
        assert (await rig.ask("preflight", operations=operations, hold=hold)).body["allowed"]
    turns, answer = await measured(rig, "holds.alice")
    assert turns.longest < TURN
    assert turns.total > 3 * TURN
    assert [entry["hold_id"] for entry in answer.body["holds"]] == [
        f"{number}.{index}" for number in range(10) for index in range(100)
    ]
    assert answer.body["held"] == {"calls": 1_000, "tokens": 0, "cost": 5, "open": 1_000}


@pytest.mark.parametrize("how", ["settled", "released", "expired"])
async def test_a_late_settle_costs_the_same_however_many_calls_were_made_meanwhile(
    rig: Rig, how: str
) -> None:
    totals = []
    await rig.ask("subscribe", plan="Enterprise", billing_cycle="monthly")
    for number, calls in enumerate((2_000, 6_000)):
        hold = f"h{number}"
        await rig.ask("hold", provider="exa", event_id=hold, ttl=60)
        for _ in range(calls // 1_000):
            await rig.ask("batch", events=[{"provider": "exa"}] * 1_000)
        if how == "settled":
            await rig.ask("track", provider="exa", hold_id=hold)
        elif how == "released":
            await rig.ask("release", hold_id=hold)
        rig.clock.at += 60_000_000
        await rig.ask("track", provider="exa")  # here it expires, if it is open
        rig.live("alice").account.ended.clear()  # as after 1,000 others
        turns, answer = await measured(rig, "track.alice", provider="exa", hold_id=hold)
        assert (answer.body["hold_status"], answer.body["late_settle"]) == (how, True)
        assert turns.longest < TURN
        totals.append(turns.total)
    assert totals[1] < 1.2 * totals[0] + 500, totals


def closed(rig: Rig) -> list[str]:
    """The users whose end of a period was published."""
    said = [json.loads(one.payload) for one in rig.link.published]
    return [one["user_id"] for one in said if one["kind"] == "period_closed"]


async def test_a_pass_over_many_ends_is_made_in_turns_and_others_are_asked_meanwhile(
    tmp_path: Path,
) -> None:
    users = await write_ended(tmp_path / "data", 400)
    journal = await SQLiteJournal.open(tmp_path / "data", FORM)
    rig = Rig(journal=FaultyJournal(journal), at=END)
    with turns_of_the_loop() as turns:
        await rig.service.start()
        # What opened each was never published either.
        await rig.link.until(lambda: len(rig.link.published) == 2 * len(users))
    assert sorted(closed(rig)) == sorted(users)
    assert turns.total > 20 * TURN
    assert turns.longest < 4 * TURN  # as many as a commit had, and its answers
    print(f"the longest turn has {turns.longest:,} instructions of {turns.total:,}")
    await rig.stop()
    await journal.close()
