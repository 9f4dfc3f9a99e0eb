"""Damaged bytes: who needs them is told where they are, once the log says so, and others go on."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from messages.codec import decode_event
from messages.stored.events import PeriodSealed
from persistence.errors import ArchiveDamaged, BeingMade, Corrupt, JournalError
from persistence.records import Row
from tests.runtime.test_archive import archive
from tests.runtime.test_forget import forget
from tests.support.damage import READS, break_reads, damaged, rot
from tests.support.faults import Fault
from tests.support.meter import micros
from tests.support.rig import Answer, Logs, Rig

PLACE = "not executed: row 17 of meterd.db is not as it was written"
MONTHLY = {"plan": "Pro", "billing_cycle": "monthly"}
GPT = {"provider": "openai", "model": "gpt-x", "cost_per_input_token": 1}

Ask = Callable[[Rig], Awaitable[Answer]]


def ask(verb: str, **body: Any) -> Ask:
    """Asks for a verb."""
    return lambda rig: rig.ask(verb, **body)


async def rebuild(rig: Rig) -> Answer:
    return await rig.answer(rig.rebuild())


NEEDS_THE_LOG: dict[str, Ask] = {
    "a repeated key": ask("track", provider="tavily", event_id="k"),
    "the key of another verb": ask("reset", event_id="k"),
    "a hold that ended": ask("track", provider="exa", hold_id="h"),
    "keys of a preflight": ask(
        "preflight",
        operations=[{"operation_type": "x", "provider": "exa"}],
        hold={"event_id": "p"},
    ),
    "acks": ask("ack", ids=["another"]),
    "logs": ask("logs"),
    "logs of a key": ask("logs", event_id="k"),
    "logs of an old period": ask("logs", billing_period="2025-01"),
    "stats of an old period": ask("stats", billing_period="2025-01"),
    "all alerts": ask("alerts"),
    "the history of a subscription": ask("subscription"),
    "trends": ask("trends", months=12),
    "dashboard": ask("dashboard"),
    "rebuild": rebuild,
    "forget": forget,
}


def said(lines: Logs) -> list[str]:
    """What the log says that is no mere information; none of it is a traceback."""
    assert not [line for line in lines if "exc_info" in line or "Traceback" in str(line)]
    return [line["event"] for line in lines if line["log_level"] in {"warning", "error"}]


def refused_for_good(answer: Answer, message: str = PLACE) -> None:
    """The caller hears what is damaged, and that to try again does not help."""
    error = answer.error
    assert error is not None, answer
    assert (error["code"], error["message"]) == ("unavailable", message)
    assert error["retryable"] is False
    assert (error["retry_after"], error["error_id"]) == (None, None)
    assert answer.headers is not None
    assert answer.headers["Nats-Service-Error-Code"] == "503"


async def use(rig: Rig) -> None:
    """Two users with calls, a hold that ended, a subscription and a period that left the state."""
    for user in ("alice", "bob"):
        assert (await rig.ask("subscribe", user, **MONTHLY)).code == ""
        await rig.ask("track", user, provider="tavily", event_id="k")
        await rig.ask("hold", user, provider="exa", event_id="h")
        await rig.ask("release", user, hold_id="h")
        operations = [{"operation_type": "x", "provider": "exa"}]
        await rig.ask("preflight", user, operations=operations, hold={"event_id": "p"})
    rig.clock.at = micros("2026-05-20T00:00:00Z")
    for user in ("alice", "bob"):
        await rig.ask("track", user, provider="tavily")
    rig.clock.at = micros("2026-09-20T00:00:00Z")
    for user in ("alice", "bob"):
        for _ in range(2):
            assert (await rig.ask("track", user, provider="tavily")).code == ""
    await rig.idle()
    for cell in rig.registry._cells.values():  # of the hold only the log knows any more
        if cell.user:
            account: Any = cell.actor
            account.account.ended = {}


# -- who needs damaged bytes


@pytest.mark.parametrize("what", NEEDS_THE_LOG)
async def test_who_needs_a_damaged_row_hears_its_position_and_the_log_says_it_once(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    await use(rig)
    break_reads(monkeypatch, rig.journal, damaged())
    for _ in range(3):
        rig.link.answers.pop("forgot", None)
        refused_for_good(await NEEDS_THE_LOG[what](rig))
    assert said(lines) == ["damaged"]
    (line,) = [line for line in lines if line["event"] == "damaged"]
    assert line == {
        "event": "damaged",
        "log_level": "error",
        "file": "meterd.db",
        "place": "row 17",
        "first": 17,
        "last": 17,
        "user": "alice",
        "do": "run meterd mend",
    }

    assert (await rig.ask("stats")).code == ""  # the state does not need it
    assert (await rig.ask("track", provider="tavily", event_id="new")).body["duplicate"] is False
    for verb in ("logs", "alerts", "subscription", "trends"):
        assert (await rig.ask(verb, "bob")).code == ""
    again = await rig.ask("track", "bob", provider="tavily", event_id="k")
    assert again.body["duplicate"] is True


async def test_in_a_batch_only_the_event_whose_row_is_damaged_is_refused(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"k{n}" for n in range(100)]
    for key in keys:
        await rig.ask("track", provider="tavily", event_id=key)
    find_all, reads = rig.journal.find_all, 0

    async def broken(user: str, asked: list[str]) -> dict[str, Row]:
        nonlocal reads
        reads += 1
        if {"k7", "k80"} & {*asked}:
            raise damaged(8 if "k7" in asked else 81)
        return await find_all(user, asked)

    monkeypatch.setattr(rig.journal, "find_all", broken)
    events = [{"provider": "tavily", "event_id": key} for key in [*keys, "new"]]
    body = (await rig.ask("batch", events=events)).body

    assert (body["accepted"], body["duplicates"], body["rejected"]) == (1, 98, 2)
    errors = {n: found["error"] for n, found in enumerate(body["results"]) if "error" in found}
    assert [(n, error["event_id"], error["retryable"]) for n, error in errors.items()] == [
        (7, "k7", False),
        (80, "k80", False),
    ]
    assert "row 8 of" in errors[7]["message"]
    assert "row 81 of" in errors[80]["message"]
    assert reads <= 30  # not one for each of them
    assert said(lines) == ["damaged", "damaged"]


async def test_an_archive_with_a_damaged_user_moves_nothing_and_names_the_row(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use(rig)
    rig.clock.at = micros("2026-12-20T00:00:00Z")
    rig.registry.forget({"alice", "bob"})
    await rig.idle()
    break_reads(monkeypatch, rig.journal, damaged())
    refused_for_good(await archive(rig, "2026-06-01"))
    refused_for_good(await archive(rig, "2026-06-01"))
    assert said(lines) == ["damaged"]


async def test_a_list_of_users_shows_a_damaged_one_by_id_alone(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use(rig)
    rig = await rig.restart()
    break_reads(monkeypatch, rig.journal, damaged())
    for _ in range(3):
        alice, bob = (await rig.catalog("users.list")).body["users"]
        assert (alice["user_id"], alice["total_calls"]) == ("alice", None)
        assert (bob["user_id"], bob["total_calls"]) == ("bob", 2)
    assert said(lines) == ["damaged"]
    await rig.stop()


async def test_what_sqlite_says_of_its_file_is_in_the_log_and_a_caller_hears_the_files_name(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use(rig)
    break_reads(monkeypatch, rig.journal, Corrupt("database disk image is malformed"))
    for _ in range(3):
        message = "not executed: a part of meterd.db is not as it was written"
        refused_for_good(await rig.ask("logs"), message)
    (line,) = [line for line in lines if line["log_level"] != "info"]
    assert (line["event"], line["file"]) == ("damaged", "meterd.db")
    assert "meterd mend" in line["do"]
    assert line["why"] == "database disk image is malformed"


async def test_a_damaged_archive_is_named_and_to_try_again_does_not_help(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use(rig)
    why = "the archive 1-9.jsonl.gz is not as it was written"
    break_reads(monkeypatch, rig.journal, ArchiveDamaged(why))
    for _ in range(3):
        refused_for_good(await rig.ask("logs", event_id="k"), f"not executed: {why}")
    assert said(lines) == ["damaged"]


# -- users who cannot be loaded


async def test_all_who_wait_for_a_damaged_user_and_all_who_come_hear_the_same(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use(rig)
    rig = await rig.restart()
    tried = break_reads(monkeypatch, rig.journal, damaged())
    rig.journal.reads.close()
    asked = [rig.track(event_id=f"n{n}") for n in range(5)] + [rig.send("stats")]
    rig.journal.reads.open()
    for answer in await rig.answers(*asked):
        refused_for_good(answer)
    reads = tried.total()
    for _ in range(1000):
        refused_for_good(await rig.ask("stats"))
    assert tried.total() == reads  # the pause is not over, so nothing is read
    assert (await rig.ask("stats", "bob")).body["total_calls"] == 2
    assert said(lines) == ["damaged"]

    pauses = []
    for _ in range(6):
        rig.seconds += rig.registry._backoff._failed["alice"].until - rig.seconds
        refused_for_good(await rig.ask("stats"))
        pauses.append(rig.registry._backoff._failed["alice"].until - rig.seconds)
    assert pauses == pytest.approx([0.5, 2, 5, 5, 5, 5])
    assert said(lines) == ["damaged"]
    await rig.stop()


async def test_a_user_whose_bytes_are_mended_is_served_again(rig: Rig) -> None:
    await use(rig)
    rig = await rig.restart()
    with pytest.MonkeyPatch.context() as patch:
        break_reads(patch, rig.journal, damaged())
        refused_for_good(await rig.ask("stats"))
    rig.seconds += 0.1
    assert (await rig.ask("stats")).body["total_calls"] == 2
    await rig.stop()


async def test_a_damaged_user_costs_nobody_who_is_loaded_in_the_same_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [f"u{n}" for n in range(20)]
    for user in users:
        await rig.ask("track", user, provider="tavily")
    rig = await rig.restart()
    break_reads(monkeypatch, rig.journal, damaged(), users=["u7"])
    asked = {user: rig.send("stats", user) for user in users}
    refused_for_good(await rig.answer(asked.pop("u7")))
    assert {(await rig.answer(to)).code for to in asked.values()} == {""}
    await rig.stop()


# -- what is made anew


@pytest.mark.parametrize(
    ("takes_s", "told"), [(0.2, 1), (4.2, 5), (60, 60), (1e9, 3600), (float("inf"), 3600)]
)
async def test_while_a_file_is_made_anew_a_caller_hears_how_long_that_takes(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch, takes_s: float, told: float
) -> None:
    await use(rig)
    break_reads(monkeypatch, rig.journal, BeingMade("index.db is made anew", takes_s))
    error = (await rig.ask("logs")).error
    assert (error["code"], error["retryable"]) == ("unavailable", True)
    assert error["message"] == "not executed: index.db is made anew"
    assert error["retry_after"] == told
    assert said(lines) == []


async def test_a_user_who_needs_a_file_that_is_made_anew_hears_how_long_it_takes_still(
    rig: Rig, lines: Logs
) -> None:
    await use(rig)
    rig = await rig.restart()
    with pytest.MonkeyPatch.context() as patch:
        tried = break_reads(patch, rig.journal, BeingMade("index.db is made anew", 30))
        assert (await rig.ask("stats")).error["retry_after"] == pytest.approx(30)
        rig.seconds += 0.05
        reads = tried.total()
        error = (await rig.ask("stats")).error
        assert error["retry_after"] == pytest.approx(29.95)
        assert (error["retryable"], error["message"]) == (
            True,
            "not executed: index.db is made anew",
        )
        assert tried.total() == reads
    rig.seconds += 0.1
    assert (await rig.ask("stats")).code == ""
    assert said(lines) == []
    await rig.stop()


# -- rows without a checksum, which cannot be decoded


def row_of(rig: Rig, kind: str, user: str = "alice") -> Row:
    """The user's newest row of a kind."""
    return [row for row in rig.inner._rows if (row.user, row.kind) == (user, kind)][-1]


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


@pytest.mark.parametrize("fields", [{"body": "{"}, {"kind": "from_the_future"}])
async def test_no_service_starts_without_a_row_of_the_catalogue(
    rig: Rig, fields: dict[str, str]
) -> None:
    assert (await rig.catalog("prices.put", **GPT)).code == ""
    await rig.idle()
    inner = await rig.crash()
    rot(inner, 1, **fields)
    with pytest.raises(JournalError, match=r"row 1 of meterd\.db is not"):
        await Rig.start(inner)


async def test_while_a_service_runs_users_are_served_though_the_catalogue_is_damaged(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await rig.catalog("prices.put", **GPT)).code == ""
    await rig.idle()
    break_reads(monkeypatch, rig.journal, damaged(), calls=READS, users=[""])
    rig.journal.fail_appends(Fault.NOT_STORED)
    assert (await rig.catalog("prices.put", **GPT)).code == "unavailable"  # its actor is dropped
    await rig.writer.ready()
    refused_for_good(await rig.catalog("plans.list"))
    answer = await rig.ask("track", provider="openai", model_used="gpt-x", tokens_input=2)
    assert answer.body["cost"] == 2
    assert said(lines).count("damaged") == 1


# -- alerts and periods


async def test_the_outbox_goes_on_behind_a_damaged_row(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.link.failing = 10**6
    users = [f"u{n}" for n in range(300)]  # more than are read together
    for user in users:
        await rig.ask("track", user, provider="tavily")  # each opens a period, which is told
    bad = {row.seq for row in rig.inner._rows if row.notify and row.user in {"u7", "u8", "u290"}}
    notices, reads = rig.journal.notices, 0

    async def broken(after: int, limit: int) -> list[Row]:
        nonlocal reads
        reads += 1
        rows = await notices(after, limit)
        seen = [row.seq for row in rows if row.seq in bad]
        if seen:  # it may name more than what is next, of which some can be read
            raise damaged(min(seen), max(bad))
        return rows

    monkeypatch.setattr(rig.journal, "notices", broken)
    rig.relay.reread()
    rig.link.failing = 0
    await rig.idle()

    told = {one.subject.rpartition(".")[2] for one in rig.link.published}
    assert told == {*users} - {"u7", "u8", "u290"}
    assert said(lines).count("damaged") == 3
    assert reads < 100
    assert await rig.inner.published() == max(row.seq for row in rig.inner._rows if row.notify)

    await rig.ask("track", "later", provider="tavily")
    await rig.idle()
    assert rig.link.published[-1].subject.endswith(".later")


@pytest.mark.parametrize("fields", [{"body": "{"}, {"kind": "usage"}, {"at": 2**62}])
async def test_the_outbox_goes_on_behind_a_row_that_cannot_be_decoded(
    rig: Rig, lines: Logs, fields: dict[str, Any]
) -> None:
    rig.link.failing = 10**6
    for user in ("alice", "bob"):
        for _ in range(10):
            await rig.ask("track", user, provider="tavily")
    seq = next(row.seq for row in rig.inner._rows if row.notify and row.user == "alice")
    rot(rig.inner, seq, **fields)
    rig.relay.reread()
    rig.link.failing = 0
    await rig.idle()
    assert len([one for one in rig.link.published if ".bob" in one.subject]) == 4
    places = [line["place"] for line in lines if line["event"] == "damaged"]
    assert places == [f"row {seq}"]
    assert rig.ended == []


async def test_an_outbox_that_does_not_know_where_to_go_on_says_so_and_waits(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.ask("track", provider="tavily")
    await rig.idle()
    with monkeypatch.context() as patch:
        tried = 0

        async def broken(*_: int) -> list[Row]:
            nonlocal tried
            tried += 1
            rig.link.arrived.set()
            raise Corrupt("database disk image is malformed")

        patch.setattr(rig.journal, "notices", broken)
        rig.relay.reread()
        await rig.ask("track", "bob", provider="tavily")
        await rig.link.until(lambda: tried > 30)
    await rig.idle()
    assert said(lines) == ["damaged", "publish_failed"]
    (line,) = [line for line in lines if line["event"] == "publish_failed"]
    assert "meterd.db" in line["error"]
    assert "meterd mend" in line["error"]
    assert [one.subject.split(".")[2:] for one in rig.link.published][-1][-1] == "bob"
