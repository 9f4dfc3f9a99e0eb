"""Damaged bytes: who needs them is told where they are, once the log says so, and others go on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from persistence.errors import ArchiveDamaged, BeingMade, Corrupt
from persistence.records import Row
from tests.runtime.test_archive import archive
from tests.runtime.test_forget import forget
from tests.support.damage import break_reads, damaged, refused_for_good, said
from tests.support.meter import micros
from tests.support.rig import Answer, Logs, Rig

MONTHLY = {"plan": "Pro", "billing_cycle": "monthly"}

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


async def use_and_let_go(rig: Rig) -> None:
    """As `use`; their rows are old enough for an archive, and their state is not in memory."""
    await use(rig)
    rig.clock.at = micros("2026-12-20T00:00:00Z")
    rig.registry.forget({"alice", "bob"})
    await rig.idle()


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
    await use_and_let_go(rig)
    break_reads(monkeypatch, rig.journal, damaged())
    refused_for_good(await archive(rig, "2026-06-01"))
    refused_for_good(await archive(rig, "2026-06-01"))
    assert said(lines) == ["damaged"]


async def test_an_archive_hears_how_long_a_file_takes_that_is_made_anew(
    rig: Rig, lines: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await use_and_let_go(rig)
    break_reads(monkeypatch, rig.journal, BeingMade("index.db is made anew", 7))
    error = (await archive(rig, "2026-06-01")).error
    assert (error["code"], error["retryable"], error["retry_after"]) == ("unavailable", True, 7)
    assert said(lines) == []


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
