"""A service on a log that was mended: what is lost is lost for whom it was, and for nobody else."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from actors.audit.findings import Finding
from actors.audit.verify import Live, Verifier
from actors.cli.mend import is_whole
from actors.cli.verify import _show
from messages.client.client import decode_stats
from messages.reports import StatsReply
from messages.stored.form import FORM
from messages.subjects import encode_user, partition_of
from persistence.key_filter import KeyFilter
from persistence.records import Snapshot
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.key_filter_store import FILE as KEYS
from persistence.sqlite.key_filter_store import KeyStore
from tests.support.command_line import run
from tests.support.data import edit
from tests.support.mending import broken, losses
from tests.support.rig import Rig

USERS = ("alice", "bob", "carol")
PARTS = ["event_id = 't1'", "kind = 'period_rolled'", "kind = 'hold'", "event_id = 's'"]
NEWEST = "seq > (SELECT max(seq) - 3 FROM log WHERE user_id = 'alice')"


@asynccontextmanager
async def serving(directory: Path, lump_rows: int = 100_000, **settings: int) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:  # a thread that is left would keep the tests from ending
        journal = await SQLiteJournal.open(directory, FORM, lump_rows=lump_rows)
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


def verified(directory: Path) -> tuple[int, list[Any], list[Any]]:
    """The exit code of `meterd verify`, the losses that it lists, and what differs."""
    done = run("verify", "--data-dir", str(directory), "--no-live", "--json")
    said = json.loads(done.stdout)
    return done.exit_code, said["losses"], said["differences"]


async def save_keys(directory: Path) -> None:
    """Have a filter of all keys beside the log, as a large one has."""
    async with AsyncExitStack() as stack:
        journal = await SQLiteJournal.open(directory, FORM)
        stack.push_async_callback(journal.close)
        store = await KeyStore.open(directory, journal._pages, KeyFilter(100), journal._stored)
        await store._save(await journal.last_seq())


def command(directory: Path, *options: str) -> tuple[int, Any]:
    done = run("mend", "--data-dir", str(directory), *options, "--json")
    return done.exit_code, json.loads(done.stdout) if done.stdout else done.stderr


@pytest.mark.parametrize(
    "where",
    PARTS,
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


@pytest.mark.parametrize("snapshot_events", [1, 1_000])
@pytest.mark.parametrize("where", [*PARTS, NEWEST, "seq > 0"])
async def test_behind_an_accepted_loss_verify_names_that_alone_and_beside_a_service_too(
    tmp_path: Path, where: str, snapshot_events: int
) -> None:
    directory = tmp_path / "data"
    async with serving(directory, snapshot_events=snapshot_events) as rig:
        await use(rig)
    gone = lose(directory, where)
    assert verified(directory)[2], "it is damage until somebody accepts it"
    assert command(directory, "--yes", "--accept-loss")[0] == 0
    await save_keys(directory)
    code, lost, found = verified(directory)
    assert (code, found) == (0, [])
    assert [seq for one in lost for seq in range(one["first"], one["last"] + 1)] == gone
    partition = partition_of(encode_user("alice"))
    assert all(one["partitions"].count(partition) == 1 for one in lost)
    assert all(datetime.fromisoformat(one["at"]).tzinfo for one in lost)
    async with serving(directory, snapshot_events=snapshot_events, lump_rows=4) as rig:
        for n in range(3):
            for user in USERS:
                await rig.ask("track", user, provider="tavily", event_id=f"new {n}")
            await rig.idle()
            says = {user: decode_stats((await rig.ask("stats", user)).payload) for user in USERS}
            assert beside(directory, says) == ([], len(USERS))
    await save_keys(directory)
    assert {INDEX, KEYS} <= {path.name for path in directory.iterdir()}
    assert verified(directory) == (0, lost, [])


def beside(directory: Path, says: dict[str, StatsReply]) -> tuple[list[Finding], int | None]:
    """What is found beside a service that says so of its users, and how many were compared."""

    def ask(users: list[str], take: Callable[[dict[str, StatsReply]], None]) -> bool:
        take({user: says[user] for user in users})
        return True

    found: list[Finding] = []
    with Inspection.open(directory) as log:
        live = Live(ask, lambda: Inspection.open(directory))
        report = Verifier(log, found.append, lambda _: None, live).run()
    return found, report.live


async def test_a_loss_hides_no_damage_of_others_nor_of_what_comes_behind_a_snapshot(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "data"
    async with serving(directory, snapshot_events=1) as rig:
        await use(rig)
    lose(directory, "event_id = 't1'")
    assert command(directory, "--yes", "--accept-loss")[0] == 0
    for user in ("alice", "bob"):
        edit(directory, f"UPDATE snapshots SET body = x'00' WHERE user_id = '{user}'")
    code, lost, found = verified(directory)
    assert (code, len(lost)) == (1, 1)
    assert {(one["user"], one["field"]) for one in found} == {
        ("alice", "snapshot"),
        ("bob", "snapshot"),
    }


async def test_people_are_told_of_a_loss_in_a_line(
    used: tuple[Path, dict[str, list[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_show.__globals__, "is_human", lambda _: True)
    directory, _ = used
    (seq,) = lose(directory, "event_id = 't1'")
    command(directory, "--yes", "--accept-loss")
    done = run("verify", "--data-dir", str(directory), "--no-live")
    assert done.exit_code == 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("lost: ")]
    assert line.startswith(f"lost: row {seq}, accepted on 20")
    assert str(partition_of(encode_user("alice"))) in line
    assert "nothing differs" in done.stdout


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
