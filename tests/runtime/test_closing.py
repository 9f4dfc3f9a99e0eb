"""Periods close when they end, whoever comes: the whole service in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest

from actors.maintenance import closing
from actors.maintenance.closing import LOOK_S
from actors.waits import DEFAULT_WAITS
from messages.codec import decode_event
from messages.stored.events import (
    PeriodClosed,
    PeriodRolled,
)
from tests.runtime.test_forget import forget
from tests.sim.world.loop import TickingClock, in_virtual_time
from tests.support.faults import Fault
from tests.support.meter import NOON, micros
from tests.support.rig import Rig, SetClock

APRIL = micros("2026-04-01T00:00:00Z")
MINUTE = 60 * 10**6
DAY = 86_400 * 10**6


async def started(inner: Any = None, at: int = NOON, **settings: Any) -> Rig:
    """A service whose loop and clock run together."""
    return await Rig.start(inner, clock=TickingClock(at), waits=DEFAULT_WAITS, **settings)


async def passed(rig: Rig, micros_: int) -> None:
    """Let time pass, in the service and on its clock, in one step of the clock."""
    rig.clock.at += micros_
    await wait(2 * LOOK_S)


def stand_at(rig: Rig, moment: int) -> None:
    """Set the clock, which goes on from there."""
    rig.clock.at += moment - rig.clock.now()


async def wait(seconds: float) -> None:
    """Let so much virtual time pass."""
    await asyncio.sleep(seconds)


def told(rig: Rig, *kinds: str) -> list[tuple[str, str, str]]:
    """What was published: kind, user and period."""
    found: list[Any] = [json.loads(one.payload) for one in rig.link.published]
    return [
        (one["kind"], one["user_id"], one["billing_period"])
        for one in found
        if one.get("kind") in (kinds or ("period_closed", "period_adjusted"))
    ]


def run(test: Coroutine[Any, Any, None]) -> None:
    in_virtual_time(lambda: test)


def test_a_period_closes_within_a_minute_of_its_end_for_a_user_who_never_comes_back() -> None:
    async def test() -> None:
        rig = await started(at=APRIL - MINUTE)
        await rig.ask("track", provider="gemini", tokens_input=1000)
        await wait(59)
        assert told(rig) == []
        await wait(60)
        assert told(rig) == [("period_closed", "alice", "2026-03")]
        (body,) = (json.loads(x.payload) for x in rig.link.published if "closed" in x.subject)
        assert (body["stats"]["total_calls"], body["stats"]["total_tokens"]) == (1, 1000)
        rows = await rig.inner.rows(0, 100)
        assert [row.kind for row in rows] == ["period_rolled", "usage", "period_closed"]
        await wait(3600)
        assert (await rig.inner.last_seq(), len(told(rig))) == (3, 1)
        await rig.stop()

    run(test())


def test_closing_opens_no_period_and_the_next_message_announces_the_closed_one_no_more() -> None:
    async def test() -> None:
        rig = await started()
        await rig.ask("track", provider="gemini")
        await passed(rig, 20 * DAY)
        assert rig.live("alice").account.current.key == "2026-03"
        late = "2026-03-30T00:00:00Z"
        answer = await rig.ask("track", provider="gemini", timestamp=late)
        assert (answer.body["late"], answer.body["billing_period"]) == (True, "2026-03")
        stats = (await rig.ask("stats")).body
        assert (stats["billing_period"], stats["total_calls"]) == ("2026-04", 0)
        await rig.idle()
        assert told(rig, "period_closed", "period_opened", "period_adjusted") == [
            ("period_opened", "alice", "2026-03"),
            ("period_closed", "alice", "2026-03"),
            ("period_opened", "alice", "2026-04"),
            ("period_adjusted", "alice", "2026-03"),
        ]
        rolled = [decode_event(r.kind, r.body) for r in await rig.inner.rows(0, 100)][3]
        assert isinstance(rolled, PeriodRolled)
        assert rolled.announced
        assert rolled.closed is not None
        rebuilt = await rig.answer(rig.rebuild())
        assert rebuilt.body["changed"] is False
        await rig.stop()

    run(test())


def test_users_without_usage_or_who_came_back_are_not_loaded() -> None:
    async def test() -> None:
        rig = await started(idle_s=5.0)
        for user in ("idle", "holder", "back"):
            await rig.ask("track", user, provider="gemini")
        await rig.ask("hold", "holder", provider="gemini")
        await rig.ask("hold", "unused", provider="gemini", ttl=86_400)
        await wait(60)  # all are passivated
        stand_at(rig, APRIL)
        await rig.ask("stats", "back")
        loads = len(rig.journal.loads)
        await wait(60)
        asked = [user for users in rig.journal.loads[loads:] for user in users]
        assert sorted(asked) == ["holder", "idle"]
        assert sorted(told(rig)) == [
            ("period_closed", user, "2026-03") for user in ("back", "holder", "idle")
        ]
        assert rig.live("idle") is None  # let go at once
        await rig.stop()

    run(test())


@pytest.mark.parametrize("gone", [10 * 10**6, 400 * DAY])
def test_an_end_while_the_service_was_down_is_announced_at_the_next_start(gone: int) -> None:
    async def test() -> None:
        rig = await started(at=APRIL - 10**6)
        await rig.ask("track", provider="gemini")
        inner = await rig.crash()
        again = await started(inner, at=APRIL + gone)
        await wait(LOOK_S)
        assert told(again) == [("period_closed", "alice", "2026-03")]
        inner = await again.crash()
        third = await started(inner, at=APRIL + gone + MINUTE)
        await wait(LOOK_S)
        assert told(third) == []
        await third.stop()

    run(test())


def test_a_period_that_was_opened_while_the_clock_stood_back_closes_on_time() -> None:
    async def test() -> None:
        rig = await started(at=APRIL + 5 * 10**6)
        await wait(LOOK_S + 1)  # a look has seen that moment
        rig.clock.at -= 20 * 10**6
        await rig.ask("track", provider="gemini")
        assert rig.live("alice").account.current.key == "2026-03"
        rig.clock.at += 20 * 10**6  # before any look
        await wait(2 * LOOK_S)
        assert told(rig) == [("period_closed", "alice", "2026-03")]
        await rig.stop()

    run(test())


def test_a_step_ahead_and_back_closes_nothing_twice() -> None:
    async def test() -> None:
        rig = await started(at=APRIL - MINUTE)
        await rig.ask("track", "a", provider="gemini")
        rig.clock.at += 5 * MINUTE
        await wait(2 * LOOK_S)
        rig.clock.at -= 5 * MINUTE
        await rig.ask("track", "b", provider="gemini")
        await wait(2 * LOOK_S)
        assert told(rig) == [("period_closed", "a", "2026-03")]
        await wait(2 * 60)
        assert told(rig)[1:] == [("period_closed", "b", "2026-03")]
        await rig.stop()

    run(test())


@pytest.mark.parametrize("restarted", [False, True])
def test_periods_that_end_after_a_clock_was_a_year_ahead_are_announced(*, restarted: bool) -> None:
    async def test() -> None:
        rig = await started(at=APRIL - 3 * DAY)
        await rig.ask("track", "a", provider="gemini")
        await passed(rig, 366 * DAY)
        assert told(rig) == [("period_closed", "a", "2026-03")]
        if restarted:
            rig = await started(await rig.crash(), at=APRIL - 2 * DAY)
        else:
            stand_at(rig, APRIL - 2 * DAY)
        await wait(2 * LOOK_S)
        await rig.ask("track", "b", provider="gemini")
        again = await started(await rig.crash(), at=APRIL + 3 * DAY)
        await wait(2 * LOOK_S)
        assert ("period_closed", "b", "2026-03") in told(again)
        await again.stop()

    run(test())


@pytest.mark.parametrize("period", ["keep", "new"])
@pytest.mark.parametrize("first", ["change", "look"])
def test_a_plan_change_in_the_microsecond_of_the_end_announces_the_period_once(
    first: str, period: str
) -> None:
    async def test() -> None:
        clock = SetClock(NOON)
        rig = await Rig.start(clock=clock, waits=DEFAULT_WAITS)
        begin = {"plan": "Pro", "billing_cycle": "monthly", "period_start": "2026-03-01T00:00:00Z"}
        assert (await rig.ask("subscribe", **begin)).code == ""
        await rig.ask("track", provider="gemini")
        clock.at = APRIL - 1  # nothing is over yet
        await wait(2 * LOOK_S)
        assert told(rig) == []
        clock.at = APRIL
        if first == "look":
            await wait(2 * LOOK_S)
            assert told(rig) == [("period_closed", "alice", "2026-03")]
        change = {"plan": "Enterprise", "billing_cycle": "monthly", "period": period}
        answer = await rig.ask("subscribe", **change)
        assert answer.code == ""
        await wait(2 * LOOK_S)
        assert told(rig).count(("period_closed", "alice", "2026-03")) == 1
        assert (await rig.ask("stats")).body["total_calls"] == 0
        again = await started(await rig.crash(), at=APRIL + MINUTE)
        await wait(2 * LOOK_S)
        assert told(again) == []
        await again.stop()

    run(test())


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_period_of_a_forgotten_user_is_closed_all_the_same(when: str) -> None:
    async def test() -> None:
        rig = await started(at=APRIL - MINUTE)
        await rig.ask("track", provider="gemini", ip_address="10.0.0.1")
        if when == "before":
            assert (await forget(rig)).body["rows"] == 1
        await wait(120)
        if when == "after":
            assert (await forget(rig)).body["rows"] == 1
        assert told(rig) == [("period_closed", "alice", "2026-03")]
        await wait(60)
        assert len(told(rig)) == 1
        await rig.stop()

    run(test())


def test_a_write_that_fails_is_tried_again_until_all_is_closed_once() -> None:
    async def test() -> None:
        rig = await started(at=APRIL - MINUTE)
        for number in range(20):
            await rig.ask("track", f"u{number}", provider="gemini")
        rig.journal.fail_appends(Fault.NOT_STORED, Fault.UNKNOWN_AND_LOST, Fault.UNKNOWN_BUT_STORED)
        await wait(MINUTE / 10**6 + 6 * LOOK_S)
        assert sorted(told(rig)) == sorted(
            ("period_closed", f"u{number}", "2026-03") for number in range(20)
        )
        await rig.stop()

    run(test())


def test_a_first_call_that_is_being_written_at_the_end_has_its_period_closed() -> None:
    async def test() -> None:
        rig = await started(at=APRIL - MINUTE)
        begin = "2026-03-01T00:00:00Z"
        await rig.ask("subscribe", plan="Pro", billing_cycle="monthly", period_start=begin)
        await wait(50)
        rig.journal.appends.close()
        sent = rig.track(provider="gemini")
        await wait(25)  # a look comes meanwhile
        rig.journal.appends.open()
        answer = await rig.answer(sent)
        assert (answer.body["billing_period"], answer.body["late"]) == ("2026-03", False)
        await wait(60)
        assert told(rig) == [("period_closed", "alice", "2026-03")]
        await rig.stop()

    run(test())


def test_a_user_who_cannot_be_loaded_holds_up_no_other_and_is_asked_again() -> None:
    async def test() -> None:
        rig = await started(idle_s=5.0)
        for user in ("a", "b"):
            await rig.ask("track", user, provider="gemini")
        await wait(60)
        stand_at(rig, APRIL)
        rig.journal.fail_reads(3, "a")
        await wait(LOOK_S)
        assert told(rig) == [("period_closed", "b", "2026-03")]
        await wait(10 * 60)
        assert told(rig)[1:] == [("period_closed", "a", "2026-03")]
        await rig.stop()

    run(test())


def test_many_ends_at_one_instant_are_paced_bounded_and_on_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = 3_000
    waiting: list[int] = []
    gaps: list[int] = []

    async def test() -> None:
        rig = await started(live_users_max=500)
        await asyncio.gather(
            *(rig.ask("track", f"u{number}", provider="gemini") for number in range(users))
        )
        handled = 0

        def dispatch(request: Any) -> None:
            nonlocal handled
            handled += 1
            taken(request)
            waiting.append(rig.registry.waiting)

        taken = rig.registry.dispatch
        monkeypatch.setattr(rig.registry, "dispatch", dispatch)
        stand_at(rig, APRIL)
        began = asyncio.get_running_loop().time()
        while handled < users:
            before = handled
            await wait(0.001)
            gaps.append(handled - before)
        seconds = asyncio.get_running_loop().time() - began - LOOK_S
        assert users / closing.RATE * 0.9 <= seconds <= users / 1_000
        await rig.idle()
        assert len(told(rig)) == len(set(told(rig))) == users
        assert max(waiting) <= closing.IN_FLIGHT
        assert max(gaps) <= closing.GROUP
        await rig.stop()

    run(test())


def test_a_stop_in_the_midst_leaves_the_rest_to_the_next_start() -> None:
    async def test() -> None:
        rig = await started()
        for number in range(50):
            await rig.ask("track", f"u{number}", provider="gemini")
        stand_at(rig, APRIL)
        while not told(rig):
            await wait(0.001)
        await rig.stop()
        first = told(rig)
        assert 0 < len(first) < 50
        again = await started(rig.inner, at=APRIL + MINUTE)
        await wait(LOOK_S)
        assert sorted(first + told(again)) == sorted(
            ("period_closed", f"u{number}", "2026-03") for number in range(50)
        )
        await again.stop()

    run(test())


def test_a_closed_row_says_what_the_period_counted() -> None:
    async def test() -> None:
        rig = await started(at=APRIL - MINUTE)
        await rig.ask("track", provider="gemini", tokens_input=7)
        await rig.ask("reset")
        await wait(120)
        row = (await rig.inner.rows(0, 100))[-1]
        event = decode_event(row.kind, row.body)
        assert isinstance(event, PeriodClosed)
        assert (row.key, row.notify, event.totals.key) == (None, True, "2026-03")
        assert event.totals.earlier["gemini"][:2] == (1, 7)
        await rig.stop()

    run(test())
