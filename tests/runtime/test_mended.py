"""A service on a log that was mended: what is lost is lost for whom it was, and for nobody else."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from actors.cli.mend import is_whole
from messages.stored.form import FORM
from persistence.records import Snapshot
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.journal import SQLiteJournal
from tests.support.command_line import run
from tests.support.mending import broken, edit, losses
from tests.support.rig import Rig

USERS = ("alice", "bob", "carol")


@asynccontextmanager
async def serving(directory: Path, **settings: int) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:  # a thread that is left would keep the tests from ending
        journal = await SQLiteJournal.open(directory, FORM)
        stack.push_async_callback(journal.close)
        rig = await Rig.start(journal, **settings)  # type: ignore[arg-type]
        stack.push_async_callback(rig.stop)
        yield rig


async def use(rig: Rig) -> None:
    """Seven rows of each user: of a period, a hold and calls."""
    for user in USERS:
        for n in range(4):
            await rig.ask("track", user, provider="tavily", event_id=f"t{n}")
        await rig.ask("hold", user, provider="gemini", event_id="h", tokens_requested=20, ttl=600)
        await rig.ask("track", user, provider="gemini", hold_id="h", event_id="s", tokens_input=9)


async def told(rig: Rig, user: str) -> list[Any]:
    return [(await rig.ask(verb, user)).body for verb in ("stats", "logs", "holds")]


@pytest.fixture
async def used(tmp_path: Path) -> tuple[Path, dict[str, list[Any]]]:
    """A data directory without snapshots, and what was said of each user."""
    directory = tmp_path / "data"
    async with serving(directory) as rig:
        await use(rig)
        answers = {user: await told(rig, user) for user in USERS}
    edit(directory, "DELETE FROM snapshots")
    return directory, answers


def lose(directory: Path, where: str) -> list[int]:
    """Remove rows of alice, so that no page has them any more."""
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        query = f"SELECT seq FROM log WHERE user_id = 'alice' AND {where}"
        gone = [seq for (seq,) in db.execute(query)]
    edit(directory, f"DELETE FROM log WHERE user_id = 'alice' AND {where}; VACUUM;")
    return gone


def command(directory: Path, *options: str) -> tuple[int, Any]:
    done = run("mend", "--data-dir", str(directory), *options, "--json")
    return done.exit_code, json.loads(done.stdout) if done.stdout else done.stderr


@pytest.mark.parametrize(
    "where",
    ["event_id = 't1'", "kind = 'period_rolled'", "kind = 'hold'", "event_id = 's'"],
)
async def test_who_lost_rows_goes_on_with_the_others_and_all_others_have_everything(
    used: tuple[Path, dict[str, list[Any]]], where: str
) -> None:
    directory, answers = used
    gone = lose(directory, where)
    assert gone
    code, said = command(directory, "--yes")
    assert (code, said["outcome"]) == (1, "lost")
    assert [one["first"] for one in said["missing"]] == gone
    code, said = command(directory, "--yes", "--accept-loss")
    assert (code, said["outcome"]) == (0, "mended")
    assert [seq for seq in range(30) if seq in losses(directory)] == gone
    assert broken(directory) == []
    async with serving(directory) as rig:
        for user in USERS[1:]:
            assert await told(rig, user) == answers[user]
        with capture_logs() as lines:
            before = (await rig.ask("stats")).body
        passed = [line for line in lines if line["event"] == "row_passed_over"]
        assert {line["user"] for line in passed} <= {"alice"}
        assert bool(passed) is (where.startswith("kind"))
        reply = (await rig.ask("track", provider="tavily", event_id="new")).body
        assert reply["duplicate"] is False, reply
        assert (await rig.ask("stats")).body["total_calls"] == before["total_calls"] + 1
        again = (await rig.ask("track", provider="tavily", event_id="t0")).body
        assert again["duplicate"] is True, "its row is there"
    async with serving(directory) as rig:
        assert (await rig.ask("stats")).body["total_calls"] == before["total_calls"] + 1


async def test_a_call_whose_row_is_lost_counts_again_when_it_is_sent_again(
    used: tuple[Path, dict[str, list[Any]]],
) -> None:
    directory, _ = used
    lose(directory, "event_id = 't1'")
    command(directory, "--yes", "--accept-loss")
    async with serving(directory) as rig:
        assert (await rig.ask("stats")).body["total_calls"] == 4
        reply = (await rig.ask("track", provider="tavily", event_id="t1")).body
        assert reply["duplicate"] is False
        assert (await rig.ask("stats")).body["total_calls"] == 5


async def test_a_snapshot_that_reflects_what_is_lost_keeps_the_counters(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    async with serving(directory, snapshot_events=1) as rig:
        await use(rig)
        before = (await rig.ask("stats")).body
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        query = "SELECT partition, user_id, seq, schema, body FROM snapshots WHERE user_id = ?"
        snapshot = Snapshot(*db.execute(query, ("alice",)).fetchone())
    assert is_whole(snapshot)
    assert not is_whole(snapshot._replace(body=snapshot.body[:-1] + b"x"))
    assert not is_whole(snapshot._replace(seq=snapshot.seq + 1))
    lose(directory, "event_id = 't1'")
    assert command(directory, "--yes", "--accept-loss")[0] == 0
    async with serving(directory) as rig:
        assert (await rig.ask("stats")).body == before


def test_a_person_is_asked_and_what_cannot_be_done_is_said_in_a_line(tmp_path: Path) -> None:
    code, said = command(tmp_path)
    assert code == 2
    assert "give --yes" in said
    code, said = command(tmp_path, "--yes")
    assert code == 2
    assert said == (
        f"meterd: there is no {tmp_path / DATABASE}: meterd restore makes a backup the log\n"
    )
    assert not [*tmp_path.iterdir()]
