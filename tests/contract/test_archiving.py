"""The files of an archive, what is left of the log, and what a crash in between leaves."""

# ruff: noqa: ASYNC221, ASYNC240 -- nothing else runs on the loop of these tests

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from messages.stored.events import (
    ERASED,
)
from messages.stored.form import FORM
from persistence.archive.files import BLOCK_ROWS
from persistence.errors import NotStored
from persistence.sqlite import archiver
from persistence.sqlite.connection import Connection
from persistence.sqlite.journal import SQLiteJournal
from tests.support.archives import ALL, archive_all, files_of, usage
from tests.support.rows import make_row, make_rows

# The files


async def test_a_file_is_json_lines_that_any_tool_reads_without_personal_fields(
    sqlite_journal: SQLiteJournal, directory: Path
) -> None:
    rows = usage(3 * BLOCK_ROWS + 1, personal='{"ip_address":"10.20.30.40"}')
    await sqlite_journal.append(rows)
    await archive_all(sqlite_journal)

    (file,) = files_of(directory)
    assert file.name == f"1-{len(rows)}.jsonl.gz"
    text = subprocess.run(["zcat", file], check=True, capture_output=True).stdout.decode()
    assert text.count("\n") == len(rows)
    for line, row in zip(text.splitlines(), rows, strict=True):
        expected = row._replace(body=json.loads(row.body))._asdict()
        assert expected.pop("personal") is not None
        assert json.loads(line) == expected
        assert line.endswith(f'"body":{row.body}}}')


async def test_only_the_owner_can_read_the_files(
    sqlite_journal: SQLiteJournal, directory: Path
) -> None:
    await sqlite_journal.append(usage(9))
    await archive_all(sqlite_journal)

    assert (directory / "archive").stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in files_of(directory)] == [0o600]


async def test_each_step_has_a_file_of_its_own_and_no_file_if_nothing_moves(
    sqlite_journal: SQLiteJournal, directory: Path
) -> None:
    rows = usage(200)
    rows[100:150] = [row._replace(kind="reset") for row in rows[100:150]]
    await sqlite_journal.append(rows)

    assert await archive_all(sqlite_journal, limit=50) == 150

    names = {file.name for file in files_of(directory)}
    assert names == {f"{first}-{first + 49}.jsonl.gz" for first in (1, 51, 151)}
    assert await sqlite_journal.rows(0, ALL) == rows


async def test_a_row_is_found_whatever_the_bodies_before_it_say(
    sqlite_journal: SQLiteJournal,
) -> None:
    rows = [
        make_row(seq, body=f'{{"seq":{seq + 1},"x":{{"seq":{seq + 1},"y":"\\n{{\\"seq\\":1,"}}}}')
        for seq in range(1, 301)
    ]
    await sqlite_journal.append(rows)
    await archive_all(sqlite_journal)
    for row in rows[::7]:
        assert await sqlite_journal.rows(row.seq - 1, 1) == [row]
    assert await sqlite_journal.newest("alice", 301, 150) == rows[:149:-1]


# What is left


async def test_an_archived_row_keeps_all_but_its_body(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    query = "SELECT * FROM log ORDER BY seq"
    await sqlite_journal.append(make_rows(random.Random(1), 1, 2_000))
    outside.row_factory = sqlite3.Row
    before = [dict(row) for row in outside.execute(query)]

    moved = await archive_all(sqlite_journal, limit=700)

    after = [dict(row) for row in outside.execute(query)]
    assert sum(row["body"] == "" for row in after) == moved > 500
    for old, new in zip(before, after, strict=True):
        assert new == old | {"body": new["body"]}
        assert new["body"] == old["body"] or (
            new["body"] == "" and not new["notify"] and new["kind"] in {"usage", "hold"}
        )


async def test_pages_are_given_back_for_later_rows(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    await sqlite_journal.append(usage(5_000, personal=None))
    (before,) = outside.execute("PRAGMA page_count").fetchone()
    await archive_all(sqlite_journal)
    (free,) = outside.execute("PRAGMA freelist_count").fetchone()
    assert free > before / 8

    rows = usage(6_000)[5_000:]
    await sqlite_journal.append(rows)
    assert outside.execute("PRAGMA page_count").fetchone()[0] <= before * 1.05


async def test_the_view_leaves_out_archived_rows(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    await sqlite_journal.append(usage(5))
    await sqlite_journal.archive(3)
    assert outside.execute("SELECT seq FROM usage ORDER BY seq").fetchall() == [(4,), (5,)]


@pytest.mark.parametrize("seq", [1, 3, 4])
async def test_a_row_is_removed_by_nobody_else_whether_it_is_archived_or_not(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection, seq: int
) -> None:
    rows = usage(5)
    await sqlite_journal.append(rows)
    await sqlite_journal.archive(3)
    for statement in ("DELETE FROM log", "UPDATE log SET body = ''", "UPDATE log SET body = '{}'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            outside.execute(f"{statement} WHERE seq = ?", (seq,))
    assert await sqlite_journal.rows(0, ALL) == rows


async def test_fields_erased_before_or_after_a_move_are_in_no_file(
    sqlite_journal: SQLiteJournal, directory: Path
) -> None:
    about = '{"ip_address":"10.20.30.%d"}'
    rows = [row._replace(personal=about % (row.seq % 3)) for row in usage(600)]
    await sqlite_journal.append(rows)
    await sqlite_journal.erase("user-1")
    await archive_all(sqlite_journal)
    await sqlite_journal.erase("user-2")
    await sqlite_journal.close()

    content = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    assert [content.count(b"10.20.30.%d" % n) for n in range(3)] == [200, 0, 0]


async def test_fields_that_are_erased_later_left_no_copy_in_unused_parts_of_a_page(
    sqlite_journal: SQLiteJournal, directory: Path
) -> None:
    some = random.Random(8)
    rows = [
        make_row(
            seq,
            f"user-{seq % 30}",
            body=f'{{"p":"openai","n":{seq},"m":"{"m" * some.randrange(60)}"}}',
            personal=f'{{"who":"{seq % 30}.is.mine","agent":"{"a" * some.randrange(90)}"}}',
        )
        for seq in range(1, 3_001)
    ]
    for start in range(0, len(rows), 100):
        await sqlite_journal.append(rows[start : start + 100])
    await archive_all(sqlite_journal, limit=1_000)
    for user in range(20):
        assert await sqlite_journal.erase(f"user-{user}") == 100
    left = [row for row in await sqlite_journal.rows(0, ALL) if row.personal != ERASED]
    assert left == [row for row in rows if row.seq % 30 >= 20]
    await sqlite_journal.close()

    content = (directory / "meterd.db").read_bytes()
    assert [content.count(b'"%d.is.mine' % user) for user in range(30)] == [0] * 20 + [100] * 10


# What ends in between


async def test_a_body_that_the_file_does_not_have_stays(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = usage(300)
    await sqlite_journal.append(rows)
    written = archiver._empty

    def other(db: sqlite3.Connection, last: int, kept: str, count: int, upto: int) -> bool:
        return written(db, last, kept.replace('\\"n\\":7}', '\\"n\\":8}'), count, upto)

    with monkeypatch.context() as patch:
        patch.setattr(archiver, "_empty", other)
        with pytest.raises(NotStored, match="not as the archive"):
            await sqlite_journal.archive(300)
    assert outside.execute("SELECT count(*) FROM log WHERE body = ''").fetchone() == (0,)
    assert await archive_all(sqlite_journal) == 300
    assert await sqlite_journal.rows(0, ALL) == rows


@pytest.mark.parametrize("body", [' {"p":"exa"}', "{} ", '{"p":\n1}', "{}\r\n", "no JSON"])
async def test_a_body_that_no_line_gives_back_as_it_is_stays_and_holds_nothing_up(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection, body: str
) -> None:
    rows = usage(5)
    rows[2] = rows[2]._replace(body=body)
    await sqlite_journal.append(rows)
    assert await archive_all(sqlite_journal) == 4
    assert outside.execute("SELECT seq FROM log WHERE body <> ''").fetchall() == [(3,)]
    assert await sqlite_journal.rows(0, ALL) == rows


async def test_a_file_that_cannot_be_written_is_said_and_nothing_is_moved(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection, directory: Path
) -> None:
    await sqlite_journal.append(usage(3))
    (directory / "archive").touch()
    with pytest.raises(NotStored, match=r"1-3\.jsonl\.gz cannot be written"):
        await sqlite_journal.archive(3)
    (directory / "archive").unlink()
    assert await archive_all(sqlite_journal) == 3


async def test_the_next_step_removes_unfinished_files_of_a_process_that_ended(
    sqlite_journal: SQLiteJournal, directory: Path
) -> None:
    await sqlite_journal.append(usage(5))
    (directory / "archive").mkdir()
    for name in ("1-5.jsonl.gz.part", "1-4.jsonl.gz.part", "mine"):
        (directory / "archive" / name).touch()
    await sqlite_journal.archive(5)
    assert {file.name for file in files_of(directory)} == {"1-5.jsonl.gz", "mine"}


@pytest.mark.parametrize("made_before", [False, True])
async def test_no_body_goes_before_its_file_and_all_above_it_are_on_the_disk(
    sqlite_journal: SQLiteJournal,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    made_before: bool,
) -> None:
    if made_before:  # and not synced, by a process that was killed
        (directory / "archive").mkdir()
    synced: list[int] = []
    fsync = os.fsync

    def sync(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    await sqlite_journal.append(usage(5))
    monkeypatch.setattr(os, "fsync", sync)
    await sqlite_journal.archive(5)
    (file,) = files_of(directory)
    assert synced == [path.stat().st_ino for path in (directory, file, file.parent)]


async def test_a_kill_at_any_moment_leaves_every_row_and_the_next_archive_goes_on(
    sqlite_journal: SQLiteJournal,
    directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = usage(5 * BLOCK_ROWS)
    await sqlite_journal.append(rows)
    killed: list[Path] = []

    def kill() -> None:
        killed.append(tmp_path / f"killed{len(killed)}")
        shutil.copytree(directory, killed[-1])

    async def ask(self: Connection, function: Callable[..., Any], *args: Any) -> Any:
        kill()
        return await Connection.call(self, function, *args)

    async def beside(function: Callable[..., Any], *args: Any) -> Any:
        kill()
        return function(*args)

    def within(db: sqlite3.Connection, *args: Any) -> bool:
        db.set_progress_handler(kill, 5_000)
        try:
            return emptied(db, *args)
        finally:
            db.set_progress_handler(None, 0)

    emptied = archiver._empty
    with monkeypatch.context() as patch:
        patch.setattr(Connection, "ask", ask)
        patch.setattr(Connection, "write", ask)
        patch.setattr(archiver, "_beside", beside)
        patch.setattr(archiver, "_empty", within)
        assert await archive_all(sqlite_journal) == len(rows)

    states = set()
    for copy in killed:
        journal = await SQLiteJournal.open(copy, FORM)
        with closing(sqlite3.connect(copy / "meterd.db")) as db:
            states.add(db.execute("SELECT sum(body = '') FROM log").fetchone())
            assert db.execute("SELECT coalesce(max(moving), 0) FROM archives").fetchone() == (0,)
        assert await journal.rows(0, ALL) == rows
        await archive_all(journal)
        assert await journal.rows(0, ALL) == rows
        assert [file.name for file in files_of(copy)] == ["1-640.jsonl.gz"]
        await journal.close()
    assert len(killed) > 20
    assert states == {(0,), (256,), (512,), (640,)}


async def test_appends_come_in_between(sqlite_journal: SQLiteJournal) -> None:
    rows = usage(3_000)
    await sqlite_journal.append(rows[:2_000])
    archiving_ = asyncio.create_task(sqlite_journal.archive(2_000))
    waited = 0
    for row in rows[2_000:]:
        await sqlite_journal.append([row])
        waited += archiving_.done()
    assert await archiving_ == 2_000
    assert waited < 1_000
    assert await sqlite_journal.rows(0, ALL) == rows


async def test_a_step_that_is_cancelled_goes_on_with_the_next(
    sqlite_journal: SQLiteJournal,
) -> None:
    rows = usage(1_000)
    await sqlite_journal.append(rows)
    for turns in range(0, 40, 3):
        task = asyncio.create_task(sqlite_journal.archive(1_000))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await sqlite_journal.rows(0, ALL) == rows
    await archive_all(sqlite_journal)
    assert await sqlite_journal.rows(0, ALL) == rows
