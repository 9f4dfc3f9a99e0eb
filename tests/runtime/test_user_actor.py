"""One user's requests: idempotency, what is shown, deadlines and recovery from the log."""

from __future__ import annotations

from typing import Any

import pytest

from actors.billing.state import snapshot as snapshots
from messages.admission import Preflight
from messages.subjects import request_subject
from messages.units import MICROS_PER_DAY, to_datetime
from messages.verbs import BY_NAME, VERBS
from persistence.key_filter import KeyFilter
from persistence.memory import MemoryJournal
from tests.support.rig import Logs, Rig, Start

SECOND = 1_000_000
CALL: dict[str, Any] = {"provider": "tavily", "cost": 0.25, "metadata": {"a": "b"}}


def original(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"duplicate": False}


# -- idempotency


@pytest.mark.parametrize("verb", ["track", "reset"])
async def test_a_repeated_key_gets_the_original_reply(rig: Rig, verb: str) -> None:
    await rig.ask("track", **CALL)
    body = {"event_id": "k"} | (CALL if verb == "track" else {"reason": "renewal"})
    first = (await rig.ask(verb, **body)).body
    await rig.ask("track", **CALL)
    again = (await rig.ask(verb, **body)).body

    assert first["duplicate"] is False
    assert again["duplicate"] is True
    assert original(again) == first
    assert (await rig.ask("stats")).body["total_calls"] == (3 if verb == "track" else 1)


async def test_a_duplicate_in_flight_waits_for_its_original(rig: Rig) -> None:
    rig.journal.appends.close()
    first = rig.track(event_id="k")
    again = [rig.track(event_id="k") for _ in range(3)]
    behind = rig.send("stats")
    await rig.journal.appends.waiting.wait()
    assert rig.link.answers == {}
    rig.journal.appends.open()

    answers = await rig.answers(first, *again)
    assert [answer.body["duplicate"] for answer in answers] == [False, True, True, True]
    assert len({answer.body["seq"] for answer in answers}) == 1
    assert (await rig.answer(behind)).body["total_calls"] == 1
    assert rig.order(first, *again, behind) == [first, *again, behind]


async def test_a_key_is_found_in_the_log_however_many_others_came_after_it(rig: Rig) -> None:
    first = (await rig.ask("track", event_id="k", **CALL)).body
    for n in range(5):
        await rig.ask("track", "bob", event_id=f"k{n}", **CALL)
    again = (await rig.ask("track", event_id="k", **CALL)).body
    assert again["duplicate"] is True
    assert original(again) == first


async def test_a_key_is_known_after_a_restart_and_after_a_crash(rig: Rig, start: Start) -> None:
    first = (await rig.ask("track", event_id="k", **CALL)).body
    for end in (rig.stop, rig.crash):
        await end()
        rig = await start(rig.inner)
        again = (await rig.ask("track", event_id="k", **CALL)).body
        assert again["duplicate"] is True
        assert original(again) == first


async def test_keys_belong_to_one_user(rig: Rig) -> None:
    await rig.ask("track", "alice", event_id="k", **CALL)
    assert (await rig.ask("track", "bob", event_id="k", **CALL)).body["duplicate"] is False


FIRST: dict[str, dict[str, Any]] = {"track": {}, "hold": {"provider": "gemini"}, "subscribe": {}}


@pytest.mark.parametrize("first", FIRST)
async def test_keys_span_all_verbs(rig: Rig, first: str) -> None:
    await rig.ask(first, event_id="k", **{**BY_NAME[first].least, **FIRST[first]})
    others = [verb for verb in VERBS if verb.keyed and verb.name != first]
    assert len(others) > 10
    for verb in others:
        key: dict[str, Any] = {"event_id": "k"}
        body = {**verb.least, **({"hold": key} if verb.command is Preflight else key)}
        answer = await rig.ask(verb.name, **body)
        assert (verb.name, answer.code) == (verb.name, "idempotency_mismatch")
        assert answer.error["event_id"] == "k"


async def test_a_key_with_other_content_is_refused_and_changes_nothing(rig: Rig) -> None:
    await rig.ask("track", event_id="k", **CALL)
    before = (await rig.ask("stats")).body
    for other in ({"cost": 0.5}, {"metadata": {"a": "c"}}, {"provider": "exa"}, {"endpoint": "/x"}):
        answer = await rig.ask("track", event_id="k", **{**CALL, **other})
        assert answer.code == "idempotency_mismatch", other
    assert (await rig.ask("stats")).body == before


async def test_defaults_aliases_and_the_timestamp_are_not_content(rig: Rig) -> None:
    moment = to_datetime(rig.clock.at).isoformat()
    await rig.ask("track", event_id="k", provider="huggingface")
    again = await rig.ask(
        "track",
        event_id="k",
        provider="mistral",
        model_used="openai/gpt-oss-120b:groq",
        method="POST",
        status_code=200,
        metadata={},
        timestamp=moment,
        deadline=moment,
    )
    assert again.body["duplicate"] is True


async def test_a_refused_request_does_not_use_up_its_key(rig: Rig) -> None:
    assert (await rig.ask("reset", event_id="k")).body["reset"] is False
    assert (await rig.ask("track", event_id="k", provider="nobody")).code == "unknown_provider"
    assert (await rig.ask("track", event_id="k", provider="exa", cost=-1)).error["field"] == "cost"
    answer = await rig.ask("track", event_id="k", **CALL)
    assert answer.body["duplicate"] is False
    assert (await rig.ask("stats")).body["total_calls"] == 1


async def test_a_known_key_is_answered_before_every_later_check(rig: Rig) -> None:
    moment = to_datetime(rig.clock.at).isoformat()
    first = (await rig.ask("track", event_id="k", timestamp=moment, **CALL)).body
    rig.clock.at += 40 * MICROS_PER_DAY
    late = await rig.ask("track", event_id="new", timestamp=moment, **CALL)
    again = await rig.ask("track", event_id="k", timestamp=moment, **CALL)
    nobody = await rig.ask("track", event_id="k", timestamp=moment, provider="nobody")

    assert late.code == "timestamp_out_of_range"
    assert original(again.body) == first
    assert nobody.code == "idempotency_mismatch"


async def test_a_key_that_the_filter_only_seems_to_hold_is_new(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(KeyFilter, "surely_new", lambda *_: False)
    asked: list[str] = []
    for n in range(5):
        asked += [rig.track(event_id=f"k{n}"), rig.send("stats")]
    answers = await rig.answers(*asked)
    assert [answer.body["duplicate"] for answer in answers[::2]] == [False] * 5
    assert [answer.body["total_calls"] for answer in answers[1::2]] == [1, 2, 3, 4, 5]
    assert rig.order(*asked) == asked


async def test_the_message_id_header_is_the_key_if_the_body_has_none(rig: Rig) -> None:
    first = await rig.answer(rig.send("track", header="h", **CALL))
    again = await rig.answer(rig.send("track", header="h", **CALL))
    in_body = await rig.answer(rig.send("track", header="h", event_id="b", **CALL))
    same = await rig.ask("track", event_id="h", **CALL)

    assert [first.body["event_id"], first.body["duplicate"]] == ["h", False]
    assert [again.body["event_id"], again.body["duplicate"]] == ["h", True]
    assert [in_body.body["event_id"], in_body.body["duplicate"]] == ["b", False]
    assert same.body["duplicate"] is True


async def test_without_a_key_each_call_counts_under_a_key_of_its_own(rig: Rig) -> None:
    answers = [await rig.ask("track", **CALL) for _ in range(3)]
    keys = {answer.body["event_id"] for answer in answers}
    assert len(keys) == 3
    key = answers[0].body["event_id"]
    assert (await rig.ask("track", event_id=key, **CALL)).body["duplicate"] is True


# -- what is shown


async def test_no_reply_leaves_before_what_it_shows_is_durable(rig: Rig) -> None:
    await rig.ask("track", **CALL)
    rig.journal.appends.close()
    shown_early = rig.send("enforce", provider="tavily")
    asked = [
        rig.track(cost=1),
        rig.send("enforce", provider="tavily"),
        rig.send("stats"),
        rig.send("logs"),
        rig.send("reset"),
        rig.send("reset"),
        rig.track(cost=2),
        rig.send("stats"),
    ]
    await rig.journal.appends.waiting.wait()
    assert list(rig.link.answers)[1:] == [shown_early]
    rig.journal.appends.open()

    track, enforce, stats, logs, reset, none, last, end = [
        answer.body for answer in await rig.answers(*asked)
    ]
    assert enforce["limits"][0]["used"] == 2
    assert [stats["total_calls"], end["total_calls"]] == [2, 1]
    assert [entry["seq"] for entry in logs["logs"]] == [3, 2]
    assert [reset["reset"], none["reset"]] == [True, False]
    assert [b["seq"] for b in (track, enforce, stats, logs, reset, none, last, end)] == [
        *(3, 3, 3, 3, 4, 4, 5, 5),
    ]
    in_order = [to for to in asked if to != asked[3]]  # a page of logs may take longer
    assert rig.order(*in_order) == in_order


async def test_a_read_of_durable_state_does_not_wait_for_anybody(rig: Rig) -> None:
    await rig.ask("track", "alice", **CALL)
    await rig.ask("track", "bob", **CALL)
    rig.journal.appends.close()
    rig.track("bob")
    await rig.journal.appends.waiting.wait()
    assert (await rig.ask("stats", "alice")).body["seq"] == 2
    rig.journal.appends.open()


async def test_a_user_never_seen_is_zeros_and_nothing_is_written(rig: Rig) -> None:
    stats = (await rig.ask("stats")).body
    assert [stats["total_calls"], stats["seq"]] == [0, 0]
    assert (await rig.ask("enforce", provider="tavily")).body["seq"] == 0
    assert (await rig.ask("logs")).body["logs"] == []
    assert (await rig.ask("reset")).body["reason"] == "no_summary"
    await rig.idle()
    assert await rig.inner.last_seq() == 0


async def test_the_first_message_after_a_boundary_rolls_the_period_once(rig: Rig) -> None:
    await rig.ask("track", **CALL)
    rig.clock.at += 100 * MICROS_PER_DAY  # three periods slept through
    asked = [rig.send("stats"), rig.send("enforce", provider="tavily"), rig.track()]
    stats, enforce, track = [answer.body for answer in await rig.answers(*asked)]

    assert [stats["total_calls"], stats["seq"]] == [0, 3]
    assert enforce["billing_period"] == track["billing_period"] == stats["billing_period"]
    kinds = [row.kind for row in await rig.inner.rows(0, 100)]
    assert kinds == ["period_rolled", "usage", "period_rolled", "usage"]


# -- deadlines


async def test_past_its_deadline_a_request_is_not_executed(rig: Rig) -> None:
    await rig.ask("track", **CALL)
    past = to_datetime(rig.clock.at - 1).isoformat()
    for verb in ("track", "enforce"):
        answer = await rig.ask(verb, provider="tavily", deadline=past)
        assert answer.code == "deadline_exceeded"
        assert answer.error["retryable"]
    for verb in ("reset", "stats", "logs"):
        assert (await rig.ask(verb, deadline=past)).code == "deadline_exceeded"
    assert (await rig.ask("stats")).body["total_calls"] == 1


async def test_a_deadline_that_passes_while_the_user_is_loaded_counts(rig: Rig) -> None:
    rig.journal.reads.close()
    soon = to_datetime(rig.clock.at + SECOND).isoformat()
    late, fine = rig.track(deadline=soon, event_id="k"), rig.track()
    await rig.journal.reads.waiting.wait()
    rig.clock.at += 2 * SECOND
    rig.journal.reads.open()

    assert [a.code for a in await rig.answers(late, fine)] == ["deadline_exceeded", ""]
    assert (await rig.ask("track", event_id="k", **CALL)).body["duplicate"] is False


async def test_a_request_without_a_reply_subject_is_executed(rig: Rig) -> None:
    subject = request_subject("usage.v1", "track", "alice")
    for _ in range(3):
        rig.deliver(subject, b'{"provider": "tavily"}', reply="")
    rig.deliver(subject, b"not JSON", reply="")
    assert (await rig.ask("stats")).body["total_calls"] == 3
    assert "" not in rig.link.answers


# -- recovery


async def prepared(start: Start, events: int = 30, **settings: Any) -> tuple[Rig, bytes]:
    """A user with a snapshot and rows after it, not live; and the state it should have."""
    rig = await start(snapshot_events=20, **settings)
    for n in range(events):
        await rig.ask("track", provider="gemini", tokens_input=n, event_id=f"k{n}", cost=0.05)
    await rig.idle()
    state = snapshots.encode(rig.live("alice").account)
    await rig.crash()
    return rig, state


async def loaded(rig: Rig) -> bytes:
    await rig.ask("stats")
    return snapshots.encode(rig.live("alice").account)


async def test_snapshot_and_later_rows_give_the_live_state(start: Start) -> None:
    old, state = await prepared(start)
    stored = await old.inner.snapshot("alice")
    assert stored is not None
    assert 0 < stored.seq < await old.inner.last_seq()
    assert await loaded(await start(old.inner)) == state


async def test_the_log_alone_gives_the_live_state(start: Start) -> None:
    old, state = await prepared(start)
    old.inner._snapshots.clear()
    assert await loaded(await start(old.inner)) == state


async def test_a_log_longer_than_a_page_of_history_is_replayed_whole(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, state = await prepared(start)
    old.inner._snapshots.clear()
    for page in (1, 7, 31, 32):
        monkeypatch.setattr("actors.user.recovery.HISTORY_PAGE", page)
        rig = await start(old.inner)
        assert await loaded(rig) == state
        await rig.crash()


async def spoil(journal: MemoryJournal, **changes: Any) -> None:
    stored = await journal.snapshot("alice")
    assert stored is not None
    journal._snapshots["alice"] = stored._replace(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 0},
        {"schema": snapshots.SCHEMA + 1},
        {"seq": 10**9},
        {"seq": 3},
        {"body": b""},
        {"body": b"\xff\xfe\x00"},
        {"body": b"{}"},
        {"body": b"null"},
        {"body": b'{"seq":1,"at":0,"current":{"totals":{}}}'},
    ],
)
async def test_a_snapshot_that_cannot_be_used_is_ignored(
    start: Start, lines: Logs, changes: dict[str, Any]
) -> None:
    old, state = await prepared(start)
    await spoil(old.inner, **changes)
    assert await loaded(await start(old.inner)) == state
    assert [line["event"] for line in lines if line["event"].startswith("snapshot")] == [
        "snapshot_ignored"
        if {"schema"} & set(changes) or changes.get("seq") == 10**9
        else "snapshot_unreadable"
    ]


async def test_a_snapshot_that_was_cut_or_changed_anywhere_never_gives_another_state(
    start: Start,
) -> None:
    old, state = await prepared(start, 25)
    stored = await old.inner.snapshot("alice")
    assert stored is not None
    for cut in range(0, len(stored.body), 37):
        await spoil(old.inner, body=stored.body[:cut])
        rig = await start(old.inner)
        assert await loaded(rig) == state
        await rig.crash()


async def test_a_clock_that_steps_back_does_not_take_the_user_along(rig: Rig) -> None:
    await rig.ask("track", **CALL)
    rig.clock.at -= 60 * MICROS_PER_DAY
    await rig.ask("track", **CALL)
    ats = [row.at for row in await rig.inner.rows(0, 10)]
    assert ats == sorted(ats)
    stats = (await rig.ask("stats")).body
    assert stats["total_calls"] == 2
