"""Users who are not live are loaded together, and each for itself in all that goes wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.runtime import loading
from actors.user import recovery
from messages.subjects import PREFIX
from persistence.errors import Unavailable
from persistence.records import Loaded, Row
from tests.support.faults import Gate
from tests.support.rig import Answer, Logs, Rig, Start, until

SECRET = "what a defect says"


def names(count: int) -> list[str]:
    return [f"u{n}" for n in range(count)]


async def behind_one_read(rig: Rig, users: list[str]) -> list[str]:
    """Requests of users that come while another user's read is under way."""
    rig.journal.reads.close()
    first = rig.track("first")
    await rig.journal.reads.waiting.wait()
    return [first, *(rig.track(user) for user in users)]


def codes(answers: list[Answer]) -> set[str]:
    return {answer.code for answer in answers}


async def test_all_who_come_in_one_turn_are_read_together(rig: Rig) -> None:
    asked = [rig.track(user) for user in names(20)]
    assert codes(await rig.answers(*asked)) == {""}
    assert rig.journal.loads == [names(20)]


async def test_users_asked_for_during_a_read_go_into_the_next_one(rig: Rig) -> None:
    asked = await behind_one_read(rig, names(20))
    rig.journal.reads.open()
    assert codes(await rig.answers(*asked)) == {""}
    assert rig.journal.loads == [["first"], names(20)]


async def test_no_read_is_for_more_users_than_it_may_be(rig: Rig) -> None:
    most = loading.TOGETHER
    asked = await behind_one_read(rig, names(2 * most + 3))
    rig.journal.reads.open()
    assert codes(await rig.answers(*asked)) == {""}
    assert [len(users) for users in rig.journal.loads] == [1, most, most, 3]


async def test_no_more_users_are_loaded_at_a_time_than_the_cap_allows(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await start(recoveries_max=3)
    # Each has more rows than are read together, so each is under way for a while.
    monkeypatch.setattr(recovery, "TAIL", 0)
    history, gate = rig.journal.history, Gate()
    running = most = 0

    async def counted(*args: Any) -> list[Row]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.enter()
        running -= 1
        return await history(*args)

    monkeypatch.setattr(rig.journal, "history", counted)
    gate.close()
    asked = [rig.track(user) for user in names(20)]
    await until(lambda: running == 3)
    assert rig.journal.loads == [names(3)]
    gate.open()
    assert codes(await rig.answers(*asked)) == {""}
    assert most == 3
    assert max(len(users) for users in rig.journal.loads) == 3


async def test_each_users_requests_run_in_order_however_many_users_are_loaded(rig: Rig) -> None:
    asked = {user: [rig.track(user, cost=n) for n in range(5)] for user in names(100)}
    for user, requests in asked.items():
        answers = await rig.answers(*requests)
        assert [answer.body["cost"] for answer in answers] == list(range(5)), user
        seqs = [answer.body["seq"] for answer in answers]
        assert seqs == sorted(seqs)
    found = (await rig.inner.load(names(100), 100)).values()
    assert {len(loaded.tail) for loaded in found} == {6}  # one opened the period


async def test_a_read_that_fails_for_one_user_costs_nobody_anything(rig: Rig, lines: Logs) -> None:
    rig.journal.fail_reads(1, "u7")
    asked = [rig.track(user) for user in names(20)]
    assert codes(await rig.answers(*asked)) == {""}
    assert not [line for line in lines if line["event"] == "recovery_failed"]


async def test_only_a_user_who_cannot_be_read_alone_either_is_refused(
    rig: Rig, lines: Logs
) -> None:
    rig.journal.fail_reads(2, "u7")
    asked = {user: rig.track(user) for user in names(20)}
    refused = await rig.answer(asked.pop("u7"))
    assert refused.code == "unavailable"
    assert refused.error["retry_after"] == pytest.approx(0.1)
    assert codes(await rig.answers(*asked.values())) == {""}
    assert [ln["user"] for ln in lines if ln["event"] == "recovery_failed"] == ["u7"]
    rig.seconds += 0.1
    assert (await rig.ask("track", "u7", provider="tavily")).code == ""


async def test_a_log_that_cannot_be_read_at_all_refuses_each_once_and_all_come_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise Unavailable("injected")

    with monkeypatch.context() as patched:
        for read in ("load", "snapshot", "history"):
            patched.setattr(rig.journal, read, broken)
        asked = [rig.track(user) for user in names(200)]
        assert codes(await rig.answers(*asked)) == {"unavailable"}
    assert len(rig.registry) == 0
    rig.seconds += 0.1
    again = [rig.track(user) for user in names(200)]
    assert codes(await rig.answers(*again)) == {""}


async def test_a_row_that_cannot_be_read_refuses_only_its_user(rig: Rig) -> None:
    row = Row(1, 0, "u7", None, "usage", 1, False, "{", None)
    await rig.inner.append([row])
    rig = await Rig.start(rig.inner)
    asked = {user: rig.track(user) for user in names(20)}
    assert (await rig.answer(asked.pop("u7"))).code == "unavailable"
    assert codes(await rig.answers(*asked.values())) == {""}
    assert rig.journal.loads == [names(20)]  # it was read, so it is not read again
    await rig.stop()


async def test_a_defect_in_a_read_of_many_is_logged_and_each_is_loaded_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, lines: Logs
) -> None:
    async def broken(*_: Any) -> Any:
        raise ValueError(SECRET)

    monkeypatch.setattr(rig.journal, "load", broken)
    asked = [rig.track(user) for user in names(20)]
    answers = await rig.answers(*asked)
    assert codes(answers) == {""}
    assert SECRET not in repr(answers)
    assert [ln["event"] for ln in lines if ln.get("exc_info")] == ["read_of_many_failed"]


async def test_a_snapshot_that_is_of_no_use_costs_only_its_user_a_read_of_the_log(
    start: Start, lines: Logs
) -> None:
    rig = await start(snapshot_events=1)
    for user in names(5):
        await rig.ask("track", user, provider="tavily")
    await rig.idle()
    stored = rig.inner._snapshots["u3"]
    rig.inner._snapshots["u3"] = stored._replace(body=stored.body[:-1])
    again = await rig.restart()
    asked = [again.send("stats", user) for user in names(5)]
    assert [answer.body["total_calls"] for answer in await again.answers(*asked)] == [1] * 5
    unreadable = [line for line in lines if line["event"] == "snapshot_unreadable"]
    assert [line["user"] for line in unreadable] == ["u3"]
    await again.stop()


async def test_a_user_with_a_long_tail_is_whole_and_holds_up_nobody(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = recovery.TAIL + 10
    events = [{"provider": "tavily", "cost": 1} for _ in range(count)]
    assert (await rig.ask("batch", "u3", events=events)).code == ""
    rig = await rig.restart()
    history, gate = rig.journal.history, Gate()

    async def held(*args: Any) -> list[Row]:
        await gate.enter()
        return await history(*args)

    monkeypatch.setattr(rig.journal, "history", held)
    gate.close()
    asked = {user: rig.send("stats", user) for user in names(5)}
    long = asked.pop("u3")
    assert codes(await rig.answers(*asked.values())) == {""}
    assert long not in rig.link.answers
    gate.open()
    assert (await rig.answer(long)).body["total_calls"] == count
    await rig.stop()


async def test_the_events_of_a_long_tail_count_towards_the_next_snapshot(start: Start) -> None:
    rig = await start()
    events = [{"provider": "tavily"} for _ in range(recovery.TAIL + 10)]
    await rig.ask("batch", "u3", events=events)
    again = await rig.restart(snapshot_events=recovery.TAIL + 12)
    await again.ask("stats", "u3")
    assert await again.inner.snapshot("u3") is None
    await again.ask("track", "u3", provider="tavily")
    await again.idle()
    assert await again.inner.snapshot("u3") is not None
    await again.stop()


async def test_the_catalogue_is_loaded_among_users(rig: Rig) -> None:
    listed = rig.deliver(f"{PREFIX}.catalog.plans.list")
    asked = [rig.track(user) for user in names(3)]
    assert codes(await rig.answers(listed, *asked)) == {""}
    assert rig.journal.loads == [names(3)]


async def test_a_stop_in_the_middle_of_a_load_answers_all_who_wait(start: Start) -> None:
    rig = await start(drain_s=0)
    asked = await behind_one_read(rig, names(3 * loading.TOGETHER))
    await rig.stop()
    assert codes(await rig.answers(*asked)) == {"unavailable"}


async def test_a_stop_between_two_turns_of_a_load_answers_all_who_wait(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "BEGUN_PER_TURN", 1)
    rig = await start(drain_s=0)
    asked = [rig.track(user) for user in names(10)]
    await until(lambda: any(cell.actor for cell in rig.registry._cells.values()))
    assert any(cell.busy for cell in rig.registry._cells.values())
    await rig.stop()
    assert codes(await rig.answers(*asked)) <= {"", "unavailable", "outcome_unknown"}


async def test_requests_that_wait_for_loads_are_bounded(start: Start) -> None:
    rig = await start(waiting_max=50)
    asked = await behind_one_read(rig, names(60))
    refused = await rig.answers(*asked[50:])
    assert codes(refused) == {"overloaded"}
    assert len(rig.registry) == 50
    rig.journal.reads.open()
    assert codes(await rig.answers(*asked[:50])) == {""}


async def test_the_successor_of_a_dropped_actor_waits_for_its_rows_and_nobody_for_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.ask("track", "u0", provider="tavily")
    rig.journal.appends.close()
    waiting = rig.track("u0")
    await rig.journal.appends.waiting.wait()

    def broken(*_: Any) -> Any:
        raise ValueError(SECRET)

    with monkeypatch.context() as patched:
        patched.setattr("actors.user.ledger.track", broken)
        assert (await rig.answer(rig.track("u0"))).code == "internal"
    after = rig.send("stats", "u0")
    other = rig.send("stats", "u1")
    assert (await rig.answer(other)).code == ""
    assert after not in rig.link.answers
    rig.journal.appends.open()
    assert (await rig.answer(waiting)).code == ""
    assert (await rig.answer(after)).body["total_calls"] == 2


async def test_the_next_users_are_read_while_the_last_ones_are_restored(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = 0
    reads: list[int] = []
    load, begin = rig.journal.load, recovery.begin

    async def read(users: Any, limit: int) -> dict[str, Loaded]:
        reads.append(begun)
        return await load(users, limit)

    def counted(*args: Any) -> Any:
        nonlocal begun
        begun += 1
        return begin(*args)

    monkeypatch.setattr(rig.journal, "load", read)
    monkeypatch.setattr("actors.factory.begin", counted)
    asked = [rig.track(user) for user in names(2 * loading.TOGETHER)]
    await rig.answers(*asked)
    assert reads == [0, 0]
    await asyncio.sleep(0)
    assert begun == 2 * loading.TOGETHER
