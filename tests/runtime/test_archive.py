"""Old calls move into files beside the running service, and every reply stays as it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.maintenance import archive as archiver
from messages.stored.form import FORM
from messages.subjects import PREFIX
from persistence.memory import MemoryJournal
from persistence.sqlite.journal import SQLiteJournal
from tests.support.faults import Fault
from tests.support.meter import micros
from tests.support.rig import Logs, Rig, Start, until

USERS = ("alice", "bob", "carol")
NOW = micros("2026-06-10T00:00:00Z")
BEFORE = "2026-04-01"
MONTHS = ("2026-01", "2026-02", "2026-03", "2026-04", "2026-05")


async def archive(rig: Rig, day: str = BEFORE, reply: str = "archived") -> Any:
    """One step; its answer."""
    rig.link.answers.pop(reply, None)
    message = SimpleNamespace(subject=f"{PREFIX}.ctl.archive.{day}", reply=reply)
    await rig.link.heard[f"{PREFIX}.ctl.archive.*"](message)
    return await rig.answer(reply)


async def archive_all(rig: Rig, day: str = BEFORE) -> int:
    rows = 0
    while not (step := (await archive(rig, day)).body)["done"]:
        rows += step["rows"]
    return rows


async def use(rig: Rig) -> None:
    """Calls and holds of five months."""
    for month in MONTHS:
        rig.clock.at = micros(f"{month}-05T00:00:00Z")
        for user in USERS:
            for count in range(8):
                key = f"{month}.{count}"
                body = {"tokens_input": count, "event_id": key, "ip_address": "::1"}
                assert (await rig.ask("track", user, provider="openai", **body)).code == ""
            held = (await rig.ask("hold", user, provider="exa", event_id=f"h{month}")).body
            await rig.ask("track", user, provider="exa", hold_id=held["hold_id"])
    rig.clock.at = NOW


async def read_all(rig: Rig) -> list[Any]:
    found = []
    for user in USERS:
        verbs = ("stats", "trends", "alerts", "subscription", "dashboard", "holds")
        found += [(await rig.ask(verb, user)).body for verb in verbs]
        for period in MONTHS:
            found.append((await rig.ask("stats", user, billing_period=period)).body)
            found.append((await rig.ask("logs", user, billing_period=period, limit=3)).body)
        cursor: dict[str, str] = {}
        while True:
            page = (await rig.ask("logs", user, limit=7, **cursor)).body
            found.append(page)
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        for month in MONTHS:
            body: dict[str, Any] = {"tokens_input": 5, "event_id": f"{month}.5"}
            again = await rig.ask("track", user, provider="openai", ip_address="::1", **body)
            assert again.body["duplicate"]
            found.append(again.body)
    return found


@pytest.fixture(params=["memory", "sqlite"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path, start: Start) -> AsyncIterator[Rig]:
    if request.param == "memory":
        yield await start(at=NOW)
        return
    journal = await SQLiteJournal.open(tmp_path / "data", FORM)
    rig = await start(journal, at=NOW)
    yield rig
    await rig.stop()
    await journal.close()


async def test_every_reply_is_the_same_before_and_after_and_after_a_restart(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver, "STEP_ROWS", 30)
    await use(rig)
    before = await read_all(rig)

    assert await archive_all(rig) >= 3 * 3 * 10

    assert await read_all(rig) == before
    for user in USERS:  # by then everything is replayed from the log alone
        assert not (await rig.answer(rig.rebuild(user))).body["changed"]
    assert await read_all(rig) == before


async def test_a_user_whose_calls_move_has_a_snapshot_before(rig: Rig) -> None:
    await use(rig)
    assert [await rig.journal.snapshot(user) for user in USERS] == [None] * 3
    assert not (await archive(rig)).body["done"]
    for user in USERS:
        snapshot = await rig.journal.snapshot(user)
        assert snapshot is not None
        assert snapshot.seq == rig.live(user).account.seq


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ("2026-04-10", "too young"),
        ("2026-06-10", "too young"),
        ("2026-02-30", "is no day"),
        ("2026-W05-1", "is no day"),
        ("20260101", "is no day"),
        ("yesterday", "is no day"),
    ],
)
async def test_an_invalid_or_too_recent_day_is_refused(rig: Rig, day: str, why: str) -> None:
    answer = await archive(rig, day)
    assert answer.code == "invalid_request"
    assert why in answer.error["message"]
    assert (await archive(rig, "2026-04-09")).body == {"rows": 0, "last": 0, "done": True}


async def test_a_request_that_is_repeated_meanwhile_gets_the_answer_of_the_step(rig: Rig) -> None:
    await use(rig)
    rig.journal.appends.close()
    asked = [asyncio.create_task(archive(rig, reply=f"to.{n}")) for n in range(3)]
    other = asyncio.create_task(archive(rig, "2026-03-01", reply="other"))
    await rig.journal.appends.waiting.wait()
    rig.journal.appends.open()
    first, *repeated = [(await one).body for one in asked]
    assert first["rows"] > 0
    assert repeated == [first, first]
    assert (await other).body == {"rows": 0, "last": 0, "done": True}


async def test_if_the_log_cannot_be_written_archive_fails_and_can_be_asked_again(rig: Rig) -> None:
    await use(rig)
    rig.journal.fail_appends(Fault.NOT_STORED)  # the snapshots
    assert (await archive(rig)).code == "unavailable"
    await rig.writer.ready()
    assert (await archive(rig)).body["rows"] > 0


async def test_a_stop_answers_and_the_next_service_goes_on(start: Start) -> None:
    inner = MemoryJournal(FORM)
    rig = await start(inner, at=NOW)
    await use(rig)
    rig.journal.appends.close()
    asked = asyncio.create_task(archive(rig))
    await rig.journal.appends.waiting.wait()
    stopping = asyncio.create_task(rig.stop())
    assert (await asked).code == "unavailable"
    rig.journal.appends.open()
    await stopping
    assert await archive_all(await start(inner, at=NOW)) > 0


async def test_a_user_whose_log_cannot_be_read_is_named_and_nothing_moves(rig: Rig) -> None:
    await use(rig)
    await rig.idle()
    rig.journal.fail_reads(2, "bob")
    answer = await archive(rig)
    assert answer.code == "unavailable"
    assert "'bob'" in answer.error["message"]
    assert (await archive(rig)).body["rows"] > 0


async def test_of_a_file_that_is_gone_the_caller_hears_its_name_and_all_else_goes_on(
    start: Start, tmp_path: Path, lines: Logs
) -> None:
    journal = await SQLiteJournal.open(tmp_path / "data", FORM)
    rig = await start(journal, at=NOW)
    await use(rig)
    await archive_all(rig)
    (file,) = (tmp_path / "data" / "archive").iterdir()
    file.rename(tmp_path / "away")
    rig.registry.forget({*USERS})  # so that they are loaded again

    told = f"not executed: the archive {file.name} is not there"
    for verb, body in (
        ("logs", {"billing_period": "2026-02"}),
        ("track", {"provider": "openai", "event_id": "2026-01.5", "ip_address": "::1"}),
        ("logs", {"event_id": "2026-01.5"}),
    ):
        answer = await rig.ask(verb, **body)
        assert (answer.code, answer.error["message"]) == ("unavailable", told)
    answer = await rig.answer(rig.rebuild())
    assert (answer.code, answer.error["message"]) == ("unavailable", told)
    for verb in ("stats", "trends", "alerts", "dashboard", "subscription"):
        assert (await rig.ask(verb)).code == ""
    assert len((await rig.ask("logs", billing_period="2026-05")).body["logs"]) == 9
    page = (await rig.ask("logs")).body
    assert len(page["logs"]) == 18  # of April and May, and then the file is needed
    answer = await rig.ask("logs", cursor=page["next_cursor"])
    assert (answer.code, answer.error["message"]) == ("unavailable", told)
    assert (await rig.ask("track", provider="exa", event_id="new")).code == ""

    (tmp_path / "away").rename(file)
    assert (await rig.ask("logs", billing_period="2026-02")).body["logs"]
    await until(lambda: rig.registry.waiting == 0)
    await rig.stop()
    await journal.close()
