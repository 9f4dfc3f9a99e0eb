"""`meterd archive` on a log of months, beside a running service that is killed meanwhile."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from messages.stored.form import FORM
from messages.subjects import PREFIX, request_subject
from messages.units import to_micros
from persistence.sqlite.journal import SQLiteJournal
from tests.support.commands import WAIT_S, run
from tests.support.meterd import METERD
from tests.support.raw import RawClient
from tests.support.rig import Rig
from tests.support.service import ROOT, Service

USERS = ("alice", "bob", "carol")
CALLS = 200
"""Of each user in each of `MONTHS` times 30 days."""
MONTHS = 6
NOW = datetime.now(UTC)
BEFORE = f"{NOW - timedelta(days=63):%Y-%m-%d}"


async def make(directory: Path) -> None:
    journal = await SQLiteJournal.open(directory, FORM)
    rig = await Rig.start(journal)  # type: ignore[arg-type]
    for month in range(MONTHS, 0, -1):
        rig.clock.at = to_micros(NOW - timedelta(days=30 * month - 1))
        for user in USERS:
            about = {"provider": "openai", "ip_address": "10.20.30.40"}
            events = [about | {"tokens_input": n, "event_id": f"{month}.{n}"} for n in range(CALLS)]
            reply = await rig.ask("batch", user, events=events)
            assert reply.body["accepted"] == CALLS
    await rig.stop()
    await journal.close()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Service]:
    """`meterd up` on a log of six months."""
    asyncio.run(make(tmp_path / "data"))
    with Service(tmp_path / "data") as service:
        yield service


def ask(client: RawClient, verb: str, user: str = "alice", **body: Any) -> Any:
    return client.request(request_subject(PREFIX, verb, user), body).json()


def walk(client: RawClient, user: str) -> list[Any]:
    """All pages of the user's log."""
    pages, cursor = list[Any](), dict[str, str]()
    while True:
        pages.append(ask(client, "logs", user, limit=150, **cursor))
        if pages[-1]["next_cursor"] is None:
            return pages
        cursor = {"cursor": pages[-1]["next_cursor"]}


def read_all(client: RawClient) -> list[Any]:
    found: list[Any] = [walk(client, user) for user in USERS]
    for user in USERS:
        found += [ask(client, verb, user) for verb in ("trends", "alerts", "subscription")]
        for month in (MONTHS, 1):
            body = {"tokens_input": 7, "event_id": f"{month}.7", "ip_address": "10.20.30.40"}
            again = ask(client, "track", user, provider="openai", **body)
            assert again["duplicate"]
            found.append(again)
    return found


def emptied(directory: Path) -> int:
    with closing(sqlite3.connect(directory / "meterd.db")) as db:
        return int(db.execute("SELECT count(*) FROM log WHERE body = ''").fetchone()[0])


def files(directory: Path) -> list[Path]:
    return sorted((directory / "archive").glob("*.jsonl.gz"))


def test_calls_move_beside_others_that_come_and_everything_reads_as_before(up: Service) -> None:
    over, sent = threading.Event(), list[Any]()

    def load() -> None:
        with RawClient(up.url) as client:
            while not over.is_set():
                sent.append(ask(client, "track", "dora", provider="exa", event_id=f"k{len(sent)}"))

    with RawClient(up.url) as client:
        before = read_all(client)
        loading = threading.Thread(target=load)
        loading.start()
        code, moved = run("archive", "--yes", "--before", BEFORE, url=up.url)
        over.set()
        loading.join(WAIT_S)
        assert (code, moved["files"]) == (0, 1)
        assert moved["rows"] == emptied(up.data_dir) > 3 * 3 * CALLS
        assert [reply["usage_logged"] for reply in sent] == [True] * len(sent)
        assert read_all(client) == before
        assert run("archive", "--yes", "--before", BEFORE, url=up.url) == (
            0,
            {"rows": 0, "files": 0, "last": 0},
        )
    assert up.terminate() == 0
    up.start()
    with RawClient(up.url) as client:
        assert read_all(client) == before
        assert ask(client, "stats", "dora")["total_calls"] == len(sent)
        assert not run("rebuild", "alice", "--yes", url=up.url)[1]["changed"]


def test_killed_in_the_middle_it_goes_on_with_the_next(up: Service) -> None:
    with RawClient(up.url) as client:
        before = read_all(client)
    moving = subprocess.Popen(
        [*METERD, "archive", "--yes", "--before", BEFORE, "--timeout", "1"],
        cwd=ROOT,
        env={**os.environ, "METERD_NATS_URL": up.url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not emptied(up.data_dir):
        pass
    up.kill()
    moving.wait(WAIT_S)
    up.start()
    with RawClient(up.url) as client:
        assert read_all(client) == before
        assert run("archive", "--yes", "--before", BEFORE, url=up.url)[0] == 0
        assert emptied(up.data_dir) > 3 * 3 * CALLS
        assert read_all(client) == before
    assert len(files(up.data_dir)) == 1


def test_without_its_file_only_the_calls_in_it_cannot_be_shown(up: Service, tmp_path: Path) -> None:
    with RawClient(up.url) as client:
        before = [ask(client, "stats", user) for user in USERS]
        assert run("archive", "--yes", "--before", BEFORE, url=up.url)[0] == 0
        (file,) = files(up.data_dir)
        file.rename(tmp_path / "cold")
    up.kill()
    up.start()
    with RawClient(up.url) as client:
        assert [ask(client, "stats", user) for user in USERS] == before
        assert ask(client, "track", provider="exa")["usage_logged"]
        page = ask(client, "logs", limit=1_000)
        assert 2 * CALLS < len(page["logs"]) < MONTHS * CALLS
        error = ask(client, "logs", cursor=page["next_cursor"], limit=1_000)["error"]
        assert (error["code"], file.name in error["message"]) == ("unavailable", True)
        assert str(tmp_path) not in error["message"]
        (tmp_path / "cold").rename(file)
        assert ask(client, "logs", cursor=page["next_cursor"], limit=1_000)["logs"]


def test_an_archive_that_is_refused_or_fails_says_why_in_one_line(service: Service) -> None:
    yesterday = f"{NOW - timedelta(days=1):%Y-%m-%d}"
    for day, url, code, why in (
        ("soon", service.url, 2, "is no day"),
        (yesterday, service.url, 1, "too young"),
        (BEFORE, "nats://127.0.0.1:1", 1, "meterd: "),
    ):
        found, said = run("archive", "--yes", "--before", day, "--timeout", "1", url=url)
        assert (found, why in said) == (code, True), said
        assert code == 2 or said.count("\n") == 1


def verify(up: Service, *options: str) -> tuple[int, Any]:
    return run("verify", "--data-dir", str(up.data_dir), *options, url=up.url)


def test_moved_calls_are_verified_in_full_and_missing_files_are_named(
    up: Service, tmp_path: Path
) -> None:
    assert run("archive", "--yes", "--before", BEFORE, url=up.url)[0] == 0
    code, report = verify(up)
    assert (code, report["differences"], report["gone"], report["live"]) == (0, [], {}, 3)
    (file,) = files(up.data_dir)
    content = file.read_bytes()

    file.unlink()
    code, report = verify(up)
    gone = {file.name: emptied(up.data_dir)}
    assert (code, report["differences"], report["gone"], report["live"]) == (0, [], gone, 3)
    code, report = verify(up, "--chain")
    assert (code, report["differences"], report["gone"]) == (0, [], gone)

    for at in (0, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        for options in ((), ("--chain",)):
            code, report = verify(up, *options)
            (found,) = report["differences"]
            assert (code, found["field"], file.name in found["why"]) == (1, "archive", True)

    file.write_bytes(content)
    assert verify(up)[0] == 0
    copy, restored = tmp_path / "copy.db", tmp_path / "restored"
    assert run("backup", str(copy), "--data-dir", str(up.data_dir))[0] == 0
    assert run("restore", str(copy), "--yes", "--data-dir", str(restored))[0] == 0
    code, report = run("verify", "--data-dir", str(restored))
    assert (code, report["gone"]) == (0, gone)
    (restored / "archive").mkdir()
    (restored / "archive" / file.name).write_bytes(content)
    code, report = run("verify", "--data-dir", str(restored))
    assert (code, report["gone"]) == (0, {})


def test_a_row_that_is_changed_or_emptied_by_hand_is_found_whether_it_is_archived_or_not(
    up: Service,
) -> None:
    assert run("archive", "--yes", "--before", BEFORE, url=up.url)[0] == 0
    up.kill()
    with closing(sqlite3.connect(up.data_dir / "meterd.db")) as db:
        db.executescript("DROP TRIGGER log_is_never_changed")
        query = "SELECT max(seq) FROM log WHERE kind = 'usage' AND (body = '') = ?"
        newest, moved = (db.execute(query, (number,)).fetchone() for number in (0, 1))
        db.execute("UPDATE log SET body = '' WHERE seq = ?", newest)
        db.execute("UPDATE log SET event_id = 'other' WHERE seq = ?", moved)
        db.commit()
    code, report = verify(up, "--chain")
    fields = {found["field"] for found in report["differences"]}
    assert (code, fields) == (1, {f"row {seq}" for (seq,) in (newest, moved)})
