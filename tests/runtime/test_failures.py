"""What fails, and that every waiting request gets exactly one answer and the next one works."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actors.billing.admission.decide import enforce
from actors.user import queries
from messages.units import MICROS_PER_DAY
from persistence.records import Row
from tests.support.faults import Fault, Gate
from tests.support.rig import WAIT_S, Logs, Rig, Start, until

SECRET = "password=hunter2"
FAULTS = [Fault.NOT_STORED, Fault.UNKNOWN_AND_LOST, Fault.UNKNOWN_BUT_STORED]
DISK_FAULTS = [Fault.DISK_FAILED_AND_LOST, Fault.DISK_FAILED_BUT_STORED]


def error_lines(lines: Logs, event: str) -> list[Any]:
    return [line for line in lines if line["event"] == event]


# -- a user that cannot be loaded


async def test_all_who_wait_for_a_user_that_cannot_be_loaded_are_told_once(
    rig: Rig, lines: Logs
) -> None:
    rig.journal.reads.close()
    asked = [rig.track(event_id=f"k{n}") for n in range(3)] + [rig.send("stats")]
    other = rig.track("bob")
    rig.journal.fail_reads(2, "alice")  # with others and alone
    rig.journal.reads.open()

    for answer in await rig.answers(*asked):
        assert answer.code == "unavailable"
        assert answer.error["retry_after"] > 0
    assert (await rig.answer(other)).code == ""
    assert [line["user"] for line in error_lines(lines, "recovery_failed")] == ["alice"]
    assert rig.registry.waiting == 0


async def test_after_a_failed_load_the_user_backs_off_and_then_works(rig: Rig) -> None:
    rig.journal.fail_reads(3, "alice")
    waits = []
    for _ in range(3):
        assert (await rig.ask("track", provider="tavily", event_id="k")).code == "unavailable"
        refused = await rig.ask("track", provider="tavily", event_id="k")
        assert refused.code == "unavailable"
        waits.append(refused.error["retry_after"])
        rig.seconds += refused.error["retry_after"]
    assert waits == pytest.approx([0.1, 0.5, 2.0])

    answer = await rig.ask("track", provider="tavily", event_id="k")
    assert answer.body["duplicate"] is False
    rig.journal.fail_reads(1, "bob")
    await rig.ask("stats", "bob")
    assert (await rig.ask("stats", "bob")).error["retry_after"] == pytest.approx(0.1)


async def test_a_success_starts_the_backing_off_again_from_the_shortest(rig: Rig) -> None:
    for _ in range(2):
        rig.journal.fail_reads(1, "alice")
        await rig.ask("stats")
        assert (await rig.ask("stats")).error["retry_after"] == pytest.approx(0.1)
        rig.seconds += 0.1
        assert (await rig.ask("stats")).code == ""
        rig.seconds += 10_000
        rig.registry.passivate()


async def test_rows_that_cannot_be_read_refuse_only_their_user(rig: Rig, lines: Logs) -> None:
    for seq, user in enumerate(("unknown kind", "not JSON", "no period"), 1):
        kind = "from_the_future" if user == "unknown kind" else "usage"
        body = (
            '{"provider":"exa","actual":"exa","model":"m","billing_period":"2026-03",'
            '"status":"active","priced":"caller","price_version":1,"cost_nano":1,'
            '"cost_input_nano":0,"cost_output_nano":0,"tokens_input":0,"tokens_output":0}'
            if user == "no period"
            else "{"
        )
        await rig.inner.append([Row(seq, 0, user, None, kind, 1, False, body, None)])
    rig = await Rig.start(rig.inner)
    for user in ("unknown kind", "not JSON", "no period"):
        answer = await rig.ask("track", user, provider="tavily")
        assert answer.code == "unavailable", user
    assert (await rig.ask("track", "bob", provider="tavily")).body["seq"] == 5
    said = [(line["place"], line["user"]) for line in error_lines(lines, "damaged")]
    assert said == [("row 1", "unknown kind"), ("row 2", "not JSON"), ("row 3", "no period")]
    listed = (await rig.catalog("users.list")).body["users"]
    assert [user["user_id"] for user in listed if user["plan"] is not None] == ["bob"]
    assert len(listed) == 4
    assert len(error_lines(lines, "damaged")) == 3
    await rig.stop()


# -- a handler that raises


@pytest.fixture
def defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """`enforce` has a defect for one model."""

    def broken(account: Any, ask: Any, *rest: Any) -> Any:
        if ask.model_used == "bad":
            raise ValueError(SECRET)
        return enforce(account, ask, *rest)

    monkeypatch.setattr(queries, "enforce", broken)


@pytest.mark.usefixtures("defect")
async def test_a_raising_handler_costs_only_its_own_request(rig: Rig, lines: Logs) -> None:
    await rig.ask("track", "bob", provider="tavily")
    await rig.ask("track", provider="tavily")
    rig.journal.appends.close()
    before = [rig.track(), rig.track()]
    bad = rig.send("enforce", provider="tavily", model_used="bad")
    after = [rig.track(), rig.send("stats"), rig.track()]
    other = rig.track("bob")
    answer = await rig.answer(bad)
    rig.journal.appends.open()

    assert answer.code == "internal"
    assert not answer.error["retryable"]
    assert SECRET not in repr(answer)
    (line,) = error_lines(lines, "handler_failed")
    assert line["error_id"] == answer.error["error_id"]
    assert line["exc_info"]
    assert answer.error["error_id"] in answer.error["message"]

    assert {a.code for a in await rig.answers(*before, *after, other)} == {""}
    assert [a.body["seq"] for a in await rig.answers(*before, *after)] == [5, 6, 8, 8, 9]
    assert (await rig.answer(after[1])).body["total_calls"] == 4
    assert (await rig.ask("stats", "bob")).body["total_calls"] == 2


@pytest.mark.parametrize(
    "where",
    [f"actors.user.ledger.{name}" for name in ["apply", "encode_event", "fast.tracked", "track"]],
)
async def test_a_change_left_half_done_by_a_defect_is_not_in_the_log(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    await rig.ask("track", provider="tavily")

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError(SECRET)

    with monkeypatch.context() as patched:
        patched.setattr(where, broken)
        bad = rig.track(event_id="k")
    assert (await rig.answer(bad)).code == "internal"
    answer = await rig.ask("track", provider="tavily", event_id="k")
    assert [answer.body["duplicate"], answer.body["seq"]] == [False, 3]
    assert (await rig.ask("stats")).body["total_calls"] == 2


async def test_a_defect_in_a_look_up_costs_only_its_own_request(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, lines: Logs
) -> None:
    await rig.ask("track", provider="tavily", event_id="k")

    async def broken(*_: str) -> Row | None:
        raise ValueError(SECRET)

    with monkeypatch.context() as patched:
        patched.setattr(rig.journal, "find", broken)
        bad, behind = rig.track(event_id="k"), rig.send("stats")
        answers = await rig.answers(bad, behind)
    assert [a.code for a in answers] == ["internal", ""]
    assert SECRET not in repr(answers)
    (line,) = error_lines(lines, "handler_failed")
    assert line["error_id"] == answers[0].error["error_id"]
    assert (await rig.ask("track", provider="tavily", event_id="k")).body["duplicate"] is True


@pytest.mark.usefixtures("defect")
async def test_rows_in_flight_of_a_dropped_actor_are_in_its_successor(start: Start) -> None:
    rig = await start(live_users_max=1)
    await rig.ask("track", provider="tavily")
    rig.clock.at += 31 * MICROS_PER_DAY
    rig.journal.appends.close()
    # The period rolls, and nobody waits for that row.
    assert (await rig.ask("enforce", provider="exa", model_used="bad")).code == "internal"
    asked = [rig.track("bob"), rig.track("carol")]  # which push others out
    asked += [rig.track(), rig.send("stats")]
    await rig.journal.appends.waiting.wait()
    rig.journal.appends.open()

    assert {a.code for a in await rig.answers(*asked)} == {""}
    rows = await rig.inner.history("alice", 0, 100)
    assert [row.kind for row in rows] == ["period_rolled", "usage", "period_rolled", "usage"]


async def test_a_read_of_a_page_that_fails_is_refused(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.ask("track", provider="tavily", event_id="k")
    rig.journal.fail_reads(1, "alice")
    assert (await rig.ask("logs", event_id="k")).code == "unavailable"
    assert len((await rig.ask("logs", event_id="k")).body["logs"]) == 1


# -- a commit that fails


async def live(rig: Rig, *users: str) -> None:
    for user in users:
        assert (await rig.ask("track", user, provider="tavily")).code == ""
    await rig.idle()


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_failed_block_tells_each_who_waits_the_right_thing_once(
    rig: Rig, fault: Fault
) -> None:
    await live(rig, "alice", "bob", "carol")
    rig.journal.appends.close()
    in_block = [rig.track("alice", event_id="a1"), rig.track("bob", event_id="b1")]
    await rig.journal.appends.waiting.wait()
    behind = [
        rig.track("alice", event_id="a2"),
        rig.send("reset", "bob", event_id="b2"),
        rig.track("dora", event_id="d1"),
    ]
    reads = [rig.send("stats", "alice"), rig.send("enforce", "bob", provider="exa")]
    reads += [rig.send("logs", "alice"), rig.track("alice", event_id="a1")]
    untouched = await rig.ask("stats", "carol")
    rig.journal.fail_appends(fault)
    rig.journal.appends.open()

    code = "unavailable" if fault is Fault.NOT_STORED else "outcome_unknown"
    failed = await rig.answers(*in_block)
    assert [(a.code, a.error["event_id"]) for a in failed] == [(code, "a1"), (code, "b1")]
    later = await rig.answers(*behind, *reads)
    assert {a.code for a in later} == {"unavailable"}
    assert all(a.error["retryable"] for a in [*failed, *later])
    assert [a.error["event_id"] for a in later[:3]] == ["a2", "b2", "d1"]
    assert untouched.code == ""

    stored = fault is Fault.UNKNOWN_BUT_STORED
    again = [
        await rig.ask("track", "alice", provider="tavily", event_id="a1"),
        await rig.ask("track", "bob", provider="tavily", event_id="b1"),
        await rig.ask("track", "alice", provider="tavily", event_id="a2"),
        await rig.ask("reset", "bob", event_id="b2"),
        await rig.ask("track", "dora", provider="tavily", event_id="d1"),
    ]
    assert [a.body["duplicate"] for a in again] == [stored, stored, False, False, False]
    assert (await rig.ask("stats", "alice")).body["total_calls"] == 3
    assert (await rig.ask("stats", "bob")).body["total_calls"] == 0
    assert (await rig.ask("stats", "dora")).body["total_calls"] == 1
    keys = [row.key for row in await rig.inner.rows(0, 1000) if row.key]
    assert len(keys) == len(set(keys)) == 8


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_page_of_a_state_that_is_lost_before_it_is_read_is_refused(
    rig: Rig, fault: Fault
) -> None:
    await live(rig, "alice")
    rig.journal.appends.close()
    rig.track()
    await rig.journal.appends.waiting.wait()
    rig.journal.fail_appends(fault)
    rig.journal.appends.open()
    asked = [rig.send("logs"), rig.send("stats", billing_period="1999-01")]  # run after that

    assert {a.code for a in await rig.answers(*asked)} == {"unavailable"}


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_users_seq_ever_goes_backwards_over_a_failure(rig: Rig, fault: Fault) -> None:
    seen: dict[str, int] = {}
    for turn in range(6):
        if turn in {2, 4}:
            rig.journal.fail_appends(fault)
        asked = [(u, rig.track(u)) for u in ("alice", "bob") for _ in range(3)]
        asked += [(u, rig.send("stats", u)) for u in ("alice", "bob")]
        for user, to in asked:
            answer = await rig.answer(to)
            if answer.code == "":
                assert answer.body["seq"] >= seen.get(user, 0)
                seen[user] = answer.body["seq"]
    assert seen["alice"] < seen["bob"] == await rig.inner.last_seq()


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_duplicate_behind_its_failing_original_is_settled_by_the_log(
    rig: Rig, fault: Fault
) -> None:
    await live(rig, "alice")
    rig.journal.appends.close()
    first, again = rig.track(event_id="k"), rig.track(event_id="k")
    await rig.journal.appends.waiting.wait()
    rig.journal.fail_appends(fault)
    rig.journal.appends.open()

    assert [(a.code == "", a.error["retryable"]) for a in await rig.answers(first, again)] == [
        *((False, True), (False, True)),
    ]
    settled = await rig.ask("track", provider="tavily", event_id="k")
    assert settled.body["duplicate"] is (fault is Fault.UNKNOWN_BUT_STORED)
    assert (await rig.ask("stats")).body["total_calls"] == 2


async def test_alerts_of_a_block_that_was_stored_after_all_are_published_once(rig: Rig) -> None:
    for _ in range(7):
        await rig.ask("track", provider="tavily")
    rig.journal.fail_appends(Fault.UNKNOWN_BUT_STORED)
    answer = await rig.ask("track", provider="tavily", event_id="k")
    assert answer.code == "outcome_unknown"
    again = (await rig.ask("track", provider="tavily", event_id="k")).body
    await rig.idle()

    assert again["duplicate"] is True
    (alert,) = again["alerts"]
    assert [p.id for p in rig.link.published if ".alert." in p.subject] == [alert]


async def test_until_the_end_of_the_log_is_known_nothing_is_executed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live(rig, "alice", "bob")
    gate, last_seq = Gate(), rig.journal.last_seq

    async def held() -> int:
        await gate.enter()
        return await last_seq()

    monkeypatch.setattr(rig.journal, "last_seq", held)
    gate.close()
    rig.journal.fail_appends(Fault.UNKNOWN_BUT_STORED)
    first = await rig.ask("track", "alice", provider="tavily", event_id="k")
    await gate.waiting.wait()
    refused = [rig.track("bob"), rig.send("stats", "bob")]
    waiting = [rig.track("alice", event_id="k"), rig.track("new")]

    assert first.code == "outcome_unknown"
    assert {a.code for a in await rig.answers(*refused)} == {"unavailable"}
    assert rig.order(*waiting) == []
    gate.open()
    assert [a.body["duplicate"] for a in await rig.answers(*waiting)] == [True, False]


async def test_a_log_whose_end_cannot_be_read_is_asked_again(rig: Rig) -> None:
    await live(rig, "alice")
    rig.journal.fail_appends(Fault.NOT_STORED)
    rig.journal.fail_last_seq(5)
    assert (await rig.ask("track", provider="tavily", event_id="k")).code == "unavailable"
    answer = await rig.ask("track", provider="tavily", event_id="k")
    assert answer.body["duplicate"] is False


@pytest.mark.parametrize("fault", DISK_FAULTS)
async def test_a_disk_that_failed_ends_the_service_and_everybody_is_told(
    rig: Rig, start: Start, fault: Fault
) -> None:
    await live(rig, "alice", "bob")
    rig.journal.fail_appends(fault)
    first = await rig.ask("track", "alice", provider="tavily", event_id="k")
    assert first.code == "outcome_unknown"
    assert len(rig.ended) == 1
    for user in ("alice", "bob", "new"):
        for verb in ("track", "enforce"):
            answer = await rig.ask(verb, user, provider="tavily")
            assert answer.code == "unavailable", user
    async with asyncio.timeout(WAIT_S):
        await rig.stop()

    rig = await start(rig.inner)
    again = await rig.ask("track", "alice", provider="tavily", event_id="k")
    assert again.body["duplicate"] is (fault is Fault.DISK_FAILED_BUT_STORED)


async def test_a_defect_of_the_journal_ends_the_service_and_everybody_is_told(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = await start(drain_s=0)
    await live(rig, "alice")

    async def broken(*_: Any) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(rig.journal, "append", broken)
    asked = rig.track(event_id="k")
    await until(lambda: bool(rig.ended))
    await rig.stop()
    answer = await rig.answer(asked)
    assert [answer.code, answer.error["event_id"]] == ["outcome_unknown", "k"]
    assert SECRET not in repr(answer)
