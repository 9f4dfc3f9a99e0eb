"""One live actor per id: claims, stashes, bounds, passivation and the end."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from actors.billing.state import snapshot as snapshots
from actors.runtime.fair_turns import AT_ONCE_MAX
from actors.user.actor import PASSIVATION_EVENTS, UserActor
from persistence.records import Row
from tests.support.faults import Gate
from tests.support.rig import Rig, Start, until
from tests.support.turns import turns_of_the_loop

SEED = 20_260_305


async def test_concurrent_first_requests_make_one_actor_by_one_load(rig: Rig) -> None:
    rig.journal.reads.close()
    asked = [rig.track() for _ in range(5)]
    await rig.journal.reads.waiting.wait()
    assert len(rig.registry) == 1
    rig.journal.reads.open()

    answers = await rig.answers(*asked)
    assert rig.journal.loads == [["alice"]]
    assert [answer.body["seq"] for answer in answers] == [2, 3, 4, 5, 6]  # 1 opened the period


async def test_requests_that_arrive_during_a_load_run_in_order(rig: Rig) -> None:
    rig.journal.reads.close()
    asked = [
        rig.track(cost=1),
        rig.send("stats"),
        rig.send("reset"),
        rig.send("stats"),
        rig.track(cost=2),
        rig.send("stats"),
    ]
    await rig.journal.reads.waiting.wait()
    assert rig.link.answers == {}
    rig.journal.reads.open()

    answers = await rig.answers(*asked)
    assert [a.body["total_cost"] for a in answers if "total_cost" in a.body] == [1, 0, 2]
    assert rig.order(*asked) == asked


async def test_a_slow_load_holds_up_nobody_else(rig: Rig) -> None:
    await rig.ask("track", "bob", provider="tavily")
    rig.journal.reads.close()
    waiting = rig.track("alice")
    await rig.journal.reads.waiting.wait()

    assert (await rig.ask("track", "bob", provider="tavily")).code == ""
    assert waiting not in rig.link.answers
    rig.journal.reads.open()
    assert (await rig.answer(waiting)).code == ""


async def test_over_the_room_for_all_requests_are_refused_and_the_room_comes_back(
    start: Start,
) -> None:
    rig = await start(waiting_max=8, waiting_per_user_max=100)
    rig.journal.appends.close()
    taken = [rig.track(f"u{n}") for n in range(8)]
    refused = [rig.track("u1"), rig.track("new"), rig.send("stats", "u2")]

    for answer in await rig.answers(*refused):
        assert (answer.code, answer.error["retry_after"]) == ("overloaded", 1)
        assert answer.error["retryable"]
    assert rig.registry.waiting == 8
    rig.journal.appends.open()
    assert {answer.code for answer in await rig.answers(*taken)} == {""}
    assert rig.registry.waiting == 0
    assert (await rig.ask("track", "new", provider="tavily")).code == ""
    assert "new" in {row.user for row in await rig.inner.rows(0, 1000)}
    assert sum(row.key is not None for row in await rig.inner.rows(0, 1000)) == 9


async def test_over_the_room_for_one_user_only_that_user_is_refused(start: Start) -> None:
    rig = await start(waiting_per_user_max=4)
    rig.journal.appends.close()
    taken = [rig.track("alice") for _ in range(4)]
    refused = rig.track("alice")
    other = rig.track("bob")

    assert (await rig.answer(refused)).code == "overloaded"
    rig.journal.appends.open()
    assert {answer.code for answer in await rig.answers(*taken, other)} == {""}
    assert (await rig.ask("track", provider="tavily")).code == ""


async def test_a_refusal_gives_its_place_back_at_once(start: Start) -> None:
    rig = await start(waiting_max=2, waiting_per_user_max=2)
    await rig.ask("track", provider="tavily")
    for _ in range(5):
        assert (await rig.ask("track", provider="nobody")).code == "unknown_provider"
        assert (await rig.ask("stats", billing_period="1999-01")).code == "unknown_period"
    assert rig.registry.waiting == 0


async def test_no_more_pages_are_read_at_a_time_than_the_cap_allows(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = ("alice", "bob", "carol")
    for user in users:
        await rig.ask("track", user, provider="tavily")
    newest, gate = rig.journal.newest, Gate()
    running = most = 0

    async def counted(*args: Any) -> list[Row]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.enter()
        running -= 1
        return await newest(*args)

    monkeypatch.setattr(rig.journal, "newest", counted)
    gate.close()
    pages = [rig.send("logs", user) for user in users for _ in range(AT_ONCE_MAX)]
    await until(lambda: running == AT_ONCE_MAX)
    assert (await rig.ask("track", provider="tavily")).code == ""  # they block nobody
    gate.open()
    answers = await rig.answers(*pages)
    assert {len(answer.body["logs"]) for answer in answers} == {1}
    assert most == AT_ONCE_MAX


async def test_an_idle_actor_leaves_and_comes_back_the_same(start: Start) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    rig = await start(idle_s=60)
    for _ in range(40):
        await rig.ask("track", provider="gemini", tokens_input=rng.randrange(1000), cost=0.01)
    await rig.ask("reset")
    await rig.ask("track", provider="tavily", status_code=500, response_time=1.25)
    before = (await rig.ask("stats")).body
    state = snapshots.encode(rig.live("alice").account)

    rig.seconds = 59.0
    rig.registry.passivate()
    assert rig.live("alice") is not None
    rig.seconds = 60.0
    rig.registry.passivate()
    assert len(rig.registry) == 0
    await rig.idle()
    stored = await rig.inner.snapshot("alice")
    assert stored is not None
    assert stored.body == state

    assert (await rig.ask("stats")).body == before
    assert snapshots.encode(rig.live("alice").account) == state


async def test_a_sweep_and_a_snapshot_of_all_let_others_have_their_turn(start: Start) -> None:
    """To write a user's state may take milliseconds, and many may be idle at once."""
    rig = await start(idle_s=0.001)
    registry = rig.registry
    registry._limits = registry._limits._replace(idle_s=1e9)
    for number in range(30):
        events = [{"provider": "exa"}] * PASSIVATION_EVENTS
        await rig.ask("batch", f"u{number}", events=events)
    await rig.idle()
    most, running = 0, 0

    def ticking() -> float:
        rig.seconds += 0.001
        return rig.seconds

    def snapshot(actor: UserActor) -> bool:
        nonlocal most, running
        running += 1
        most = max(most, running)
        asyncio.get_running_loop().call_soon(end_turn)
        rig.seconds += 0.001
        return taken(actor)

    def end_turn() -> None:
        nonlocal running
        running = 0

    taken = UserActor.snapshot
    registry._now = ticking
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(UserActor, "snapshot", snapshot)
        assert await registry.snapshot_all() == 30
        assert 0 < most < 10
        most = 0
        registry._limits = registry._limits._replace(idle_s=0.0)
        await until(lambda: len(registry) == 0)  # the sweep goes on by itself
        assert 0 < most < 10


async def test_a_message_keeps_an_actor_from_being_idle(start: Start) -> None:
    rig = await start(idle_s=60)
    await rig.ask("track", "alice", provider="tavily")
    await rig.ask("track", "bob", provider="tavily")
    rig.seconds = 50.0
    await rig.ask("stats", "alice")
    rig.seconds = 70.0
    rig.registry.passivate()

    assert rig.live("alice") is not None
    assert rig.live("bob") is None


async def test_an_actor_with_anything_under_way_does_not_leave(rig: Rig) -> None:
    await rig.ask("track", provider="tavily")
    rig.journal.appends.close()
    waiting = rig.track()
    await rig.journal.appends.waiting.wait()
    rig.seconds = 10_000.0
    rig.registry.passivate()

    assert rig.live("alice") is not None
    rig.journal.appends.open()
    await rig.answer(waiting)
    rig.registry.passivate()
    assert rig.live("alice") is None


async def test_an_actor_whose_last_row_is_not_durable_does_not_leave(rig: Rig) -> None:
    await rig.ask("track", provider="tavily")
    rig.clock.at += 31 * 86_400 * 10**6
    rig.journal.appends.close()
    refused = rig.track(provider="nobody")
    rig.seconds = 10_000.0
    rig.registry.passivate()

    assert rig.live("alice") is not None  # the refused request rolled the period
    rig.journal.appends.open()
    assert (await rig.answer(refused)).code == "unknown_provider"
    await rig.idle()
    rig.registry.passivate()
    assert rig.live("alice") is None


async def test_the_least_recently_used_actors_make_room_for_new_ones(start: Start) -> None:
    rig = await start(live_users_max=10)
    for n in range(10):
        await rig.ask("track", f"u{n}", provider="tavily")
    await rig.ask("stats", "u0")
    await rig.ask("track", "new", provider="tavily")

    live = {user for user in rig.registry._cells if rig.live(user)}
    assert len(live) <= 10
    assert {"u0", "new"} <= live
    assert "u1" not in live
    assert (await rig.ask("stats", "u1")).body["total_calls"] == 1


async def test_a_burst_over_the_cap_is_served_and_shrinks_again(start: Start) -> None:
    rig = await start(live_users_max=10)
    asked = [rig.track(f"u{n}") for n in range(100)]
    assert {answer.code for answer in await rig.answers(*asked)} == {""}
    assert len(rig.registry) == 100
    for n in range(60):
        await rig.ask("track", f"v{n}", provider="tavily")
    assert len(rig.registry) <= 10


async def test_few_events_are_replayed_and_not_snapshotted_at_passivation(rig: Rig) -> None:
    await rig.ask("track", provider="tavily")
    rig.seconds = 10_000.0
    rig.registry.passivate()
    await rig.idle()

    assert await rig.inner.snapshot("alice") is None
    assert (await rig.ask("stats")).body["total_calls"] == 1


async def test_a_stop_answers_accepted_requests_and_writes_snapshots(rig: Rig) -> None:
    rig.journal.appends.close()
    asked = [rig.track(f"u{n % 3}") for n in range(60)]
    await rig.journal.appends.waiting.wait()
    stopping = asyncio.create_task(rig.stop())
    rig.journal.appends.open()
    await stopping

    assert {answer.code for answer in await rig.answers(*asked)} == {""}
    for n in range(3):
        stored = await rig.inner.snapshot(f"u{n}")
        assert stored is not None
        last: Row = (await rig.inner.newest(f"u{n}", 10**9, 1))[0]
        assert stored.seq == last.seq


async def test_a_stop_that_cannot_wait_any_longer_answers_the_stashes(start: Start) -> None:
    rig = await start(drain_s=0)
    await rig.ask("track", "bob", provider="tavily", event_id="k")
    rig.journal.reads.close()
    loading = [rig.track("alice") for _ in range(3)]
    looked_up = rig.track("bob", event_id="k")
    behind = rig.send("stats", "bob")
    await rig.stop()

    for answer in await rig.answers(*loading, looked_up, behind):
        assert answer.code == "unavailable"
        assert answer.error["retryable"]


async def test_a_stop_that_cannot_wait_any_longer_answers_requests_with_a_detour(
    start: Start,
) -> None:
    rig = await start(drain_s=0)
    detours: dict[str, tuple[str, dict[str, Any]]] = {
        "settle": ("track", {"provider": "tavily", "hold_id": "h"}),
        "ack": ("ack", {"ids": ["never"]}),
        "dashboard": ("dashboard", {}),
        "subscription": ("subscription", {}),
        "logs": ("logs", {}),
    }
    for user in detours:
        await rig.ask("hold", user, provider="tavily", event_id="h")
        await rig.ask("release", user, hold_id="h")
        plan = {"plan": "Pro", "billing_cycle": "monthly"}
        await rig.ask("subscribe", user, **plan)
        actor = rig.live(user)
        actor.account.ended, actor.account.sealed = {}, 1  # as of a long life
    raised: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))

    rig.journal.reads.close()
    asked = [rig.send(verb, user, **body) for user, (verb, body) in detours.items()]
    await until(lambda: len(rig.journal.reads._queue) == len(asked))
    await rig.stop()

    assert [answer.code for answer in await rig.answers(*asked)] == ["unavailable"] * len(asked)
    assert raised == []


async def test_a_stop_answers_requests_that_a_stuck_disk_holds_up(start: Start) -> None:
    rig = await start(drain_s=0)
    await rig.ask("track", provider="tavily")
    rig.journal.appends.close()
    in_flight = rig.track(event_id="a")
    await rig.journal.appends.waiting.wait()
    behind, read = rig.track(event_id="b"), rig.send("stats")
    await rig.stop()

    answers = await rig.answers(in_flight, behind, read)
    assert [a.code for a in answers] == ["outcome_unknown", "unavailable", "unavailable"]
    assert [a.error["event_id"] for a in answers] == ["a", "b", None]


async def test_after_the_end_requests_are_refused(rig: Rig) -> None:
    await rig.ask("track", provider="tavily")
    deliver = rig.link.deliver
    await rig.stop()
    rig.link.deliver = deliver
    answer = await rig.ask("track", provider="tavily")
    assert answer.code == "unavailable"


@pytest.mark.parametrize("count", [1, 1_000])
async def test_nothing_is_left_of_requests_that_were_answered(rig: Rig, count: int) -> None:
    asked = [rig.track(f"u{n % 7}") for n in range(count)]
    await rig.answers(*asked)
    await rig.idle()
    assert rig.registry.waiting == 0
    assert rig.registry._tasks == set()
    assert all(cell.stash is None and not cell.busy for cell in rig.registry._cells.values())


async def test_a_user_has_a_stash_only_while_a_request_waits_in_it(rig: Rig) -> None:
    rig.journal.reads.close()
    asked = [rig.track() for _ in range(3)]
    await rig.journal.reads.waiting.wait()
    cells = rig.registry._cells
    assert len(cells["alice"].stash or ()) == 3
    rig.journal.reads.open()
    await rig.answers(*asked)
    assert cells["alice"].stash is None

    await rig.ask("track", provider="tavily")
    assert cells["alice"].stash is None


async def test_requests_that_waited_for_a_load_run_in_turns_and_in_order(rig: Rig) -> None:
    rig.journal.reads.close()
    asked = [rig.track(cost=1) for _ in range(1_000)]
    await rig.journal.reads.waiting.wait()
    with turns_of_the_loop() as turns:
        rig.journal.reads.open()
        asked += [rig.track(cost=1) for _ in range(5)]
        answers = await rig.answers(*asked)
    assert rig.order(*asked) == asked
    assert [answer.body["seq"] for answer in answers] == list(range(2, 1_007))
    assert turns.longest < turns.total / 8
