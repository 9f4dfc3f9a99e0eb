"""What holds for the SQLite journal beyond the contract: its files, its schema, its failures."""

# ruff: noqa: ASYNC220, ASYNC240 -- nothing else runs on the loop of these tests

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from messages.stored.form import FORM
from persistence.errors import (
    DiskFailed,
    NotStored,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from persistence.sqlite.journal import SQLiteJournal
from tests.support.faults import sqlite_error
from tests.support.rows import make_row, make_rows, make_snapshot

ROOT = Path(__file__).parents[2]
ALL = 1_000_000


async def refusal(directory: Path) -> str:
    with pytest.raises(Refused) as refused:
        await SQLiteJournal.open(directory, FORM)
    message = str(refused.value)
    assert "\n" not in message
    return message


# Files


async def test_a_second_open_is_refused_and_names_the_directory_and_the_holder(
    sqlite_journal: SQLiteJournal, directory: Path
) -> None:
    message = await refusal(directory)

    assert str(directory) in message
    assert str(os.getpid()) in message


async def test_a_closed_journal_can_be_opened_again(directory: Path) -> None:
    rows = make_rows(random.Random(1), 1, 500)
    snapshot = make_snapshot("alice", 500)
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.append(rows, [snapshot])
    await journal.mark_published(400)
    await journal.close()

    journal = await SQLiteJournal.open(directory, FORM)

    assert await journal.rows(0, ALL) == rows
    assert await journal.snapshot("alice") == snapshot
    assert await journal.published() == 400
    await journal.close()


async def test_a_refused_open_leaves_the_directory_free(directory: Path) -> None:
    directory.mkdir()
    (directory / "meterd.db").write_text("not a database, and long enough to be read as one" * 9)
    await refusal(directory)
    (directory / "meterd.db").unlink()

    await (await SQLiteJournal.open(directory, FORM)).close()


async def test_only_the_owner_can_read_the_files(
    sqlite_journal: SQLiteJournal, directory: Path
) -> None:
    await sqlite_journal.append([make_row(1)])

    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}

    databases = {
        f"{name}.db{part}" for name in ("meterd", "index") for part in ("", "-shm", "-wal")
    }
    assert modes == dict.fromkeys(databases | {"meterd.lock", "meterd.mark"}, 0o600)
    assert directory.stat().st_mode & 0o777 == 0o700


async def test_a_directory_name_with_special_characters_is_no_uri(tmp_path: Path) -> None:
    directory = tmp_path / "a b?mode=memory#%20ü"
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.append([make_row(1)])
    await journal.close()

    assert (directory / "meterd.db").stat().st_size > 0


async def test_a_directory_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert "cannot be used" in await refusal(tmp_path / "file")
    assert "cannot be used" in await refusal(tmp_path / "file" / "data")


async def test_a_directory_that_cannot_be_written_is_refused(directory: Path) -> None:
    directory.mkdir(mode=0o500)
    if os.geteuid() == 0:
        directory = Path("/proc")  # where not even root may write

    assert f"{directory} cannot be used" in await refusal(directory)


async def test_closing_leaves_everything_in_the_database_file(
    sqlite_journal: SQLiteJournal, directory: Path
) -> None:
    await sqlite_journal.append(make_rows(random.Random(1), 1, 100))
    await sqlite_journal.close()

    names = ["index.db", "meterd.db", "meterd.lock", "meterd.mark"]
    assert sorted(path.name for path in directory.iterdir()) == names


async def test_closing_finishes_what_is_being_written(directory: Path) -> None:
    journal = await SQLiteJournal.open(directory, FORM)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(journal.append(make_rows(random.Random(1), 1, 3_000)))
        tasks.create_task(journal.close())

    journal = await SQLiteJournal.open(directory, FORM)
    assert await journal.last_seq() == 3_000
    await journal.close()


async def test_the_wal_starts_again_from_its_beginning_under_a_steady_load(
    sqlite_journal: SQLiteJournal, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persistence.sqlite.checkpoints.CHECKPOINT_PAGES", 200)
    monkeypatch.setattr("persistence.sqlite.checkpoints.WAL_PAGES_MAX", 400)
    random_ = random.Random(1)
    for start in range(1, 60_000, 600):
        await sqlite_journal.append(make_rows(random_, start, 600))

    assert (directory / "meterd.db-wal").stat().st_size < 4_000 * 4_096
    assert await sqlite_journal.last_seq() == 60_000


# Failures


async def test_a_full_disk_stores_nothing_and_the_next_append_works(
    sqlite_journal: SQLiteJournal,
) -> None:
    await sqlite_journal.append([make_row(1)])

    def cap(db: sqlite3.Connection, pages: int) -> None:
        db.execute(f"PRAGMA max_page_count = {pages}")

    await sqlite_journal._writer.call(cap, 1)  # no less than the pages in use
    big = make_row(2, body="x" * 100_000)
    for snapshots in ([], [make_snapshot("alice", 2)]):
        with pytest.raises(NotStored, match="SQLITE_FULL"):
            await sqlite_journal.append([big], snapshots)
    assert await sqlite_journal.rows(0, ALL) == [make_row(1)]

    await sqlite_journal._writer.call(cap, 1_000_000)
    await sqlite_journal.append([big])
    assert await sqlite_journal.last_seq() == 2


async def test_a_write_that_waits_too_long_for_another_program_is_not_stored(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    await sqlite_journal._writer.call(lambda db: db.execute("PRAGMA busy_timeout = 1").fetchall())
    outside.execute("BEGIN IMMEDIATE")
    with pytest.raises(NotStored, match="SQLITE_BUSY"):
        await sqlite_journal.append([make_row(1)])
    outside.execute("ROLLBACK")

    await sqlite_journal.append([make_row(1)])
    assert await sqlite_journal.last_seq() == 1


async def test_text_that_is_no_unicode_is_not_stored_and_the_next_append_works(
    sqlite_journal: SQLiteJournal,
) -> None:
    for count in (0, 2_000):  # one statement, and several in a transaction
        rows = [make_row(seq) for seq in range(1, count + 1)]
        with pytest.raises(NotStored):
            await sqlite_journal.append([*rows, make_row(count + 1, body="\ud800")])

    await sqlite_journal.append([make_row(1)])
    assert await sqlite_journal.rows(0, ALL) == [make_row(1)]


async def test_an_append_that_is_cancelled_completes_and_the_next_works(
    sqlite_journal: SQLiteJournal,
) -> None:
    rows = make_rows(random.Random(1), 1, 2_000)
    append = asyncio.create_task(sqlite_journal.append(rows))
    # The task's first step is scheduled before this: it is cancelled while it waits.
    asyncio.get_running_loop().call_soon(append.cancel)
    with pytest.raises(asyncio.CancelledError):
        await append

    await sqlite_journal.append([make_row(2_001)])

    assert await sqlite_journal.rows(0, ALL) == [*rows, make_row(2_001)]


async def test_a_closed_journal_says_so(directory: Path) -> None:
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.close()

    with pytest.raises(Unavailable):
        await journal.last_seq()
    with pytest.raises(NotStored):
        await journal.append([make_row(1)])


async def test_after_a_checkpoint_that_failed_on_the_disk_nothing_is_written(
    sqlite_journal: SQLiteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(db: sqlite3.Connection, mode: str) -> tuple[int, int]:
        raise sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)

    monkeypatch.setattr("persistence.sqlite.checkpoints.CHECKPOINT_PAGES", 1)
    with monkeypatch.context() as patch:
        patch.setattr("persistence.sqlite.checkpoints.checkpoint", fail)
        await sqlite_journal.append([make_row(1)])
        await asyncio.wait([sqlite_journal._checkpoints.task])

    with pytest.raises(DiskFailed):
        await sqlite_journal.append([make_row(2)])
    assert await sqlite_journal.last_seq() == 1


@pytest.mark.parametrize("lump_rows", [1, 3, 1_000])
async def test_a_write_of_unknown_outcome_that_is_stored_is_read_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lump_rows: int
) -> None:
    journal = await SQLiteJournal.open(tmp_path, FORM, lump_rows=lump_rows)
    await journal.append([make_row(1, key="k1"), make_row(2, key="k2")])
    write = journal._writer.write

    async def stores_and_fails(*args: Any) -> None:
        await write(*args)
        raise OutcomeUnknown("it went wrong at the end")

    with monkeypatch.context() as patch:
        patch.setattr(journal._writer, "write", stores_and_fails)
        with pytest.raises(OutcomeUnknown):
            await journal.append([make_row(3, key="k3"), make_row(4, key="k4")])
    assert await journal.last_seq() == 4

    user = make_row(3).user
    assert [row.seq for row in await journal.history(user, 0, 10)] == [1, 2, 3, 4]
    assert [row.seq for row in await journal.newest(user, 5, 10)] == [4, 3, 2, 1]
    found = await journal.find(user, "k4")
    assert found is not None
    assert found.seq == 4
    await journal.append([make_row(5, key="k5")])
    assert [row.seq for row in await journal.history(user, 3, 10)] == [4, 5]
    await journal.close()


async def test_a_row_is_there_once_though_the_end_is_asked_for_as_it_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await SQLiteJournal.open(tmp_path, FORM)
    write = journal._writer.write

    async def writes_and_asks(*args: Any) -> None:
        await write(*args)
        assert await journal.last_seq() == 2

    monkeypatch.setattr(journal._writer, "write", writes_and_asks)
    await journal.append([make_row(1), make_row(2)])
    monkeypatch.undo()
    await journal.append([make_row(3)])
    assert [row.seq for row in await journal.history("alice", 0, 10)] == [1, 2, 3]
    assert [row.seq for row in await journal.newest("alice", 9, 10)] == [3, 2, 1]
    assert journal._index.last == 3
    assert [tail.count for tail in journal._index._tails] == [3]
    await journal.close()


# A killed process

APPEND_FOR_EVER = """
import asyncio, pathlib, random, sys
from messages.stored.form import FORM
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row

async def main(directory, random_):
    journal = await SQLiteJournal.open(pathlib.Path(directory), FORM)
    last = await journal.last_seq()
    while True:
        size = random_.choice([1, 3, 200, 1500])
        body = '{"block": [%d, %d]}' % (last + 1, last + size)
        await journal.append(
            [make_row(last + i, key=f"k{last + i}", body=body) for i in range(1, size + 1)]
        )
        last += size
        print(last, flush=True)

asyncio.run(main(sys.argv[1], random.Random(sys.argv[2])))
"""


async def test_a_killed_process_loses_no_acknowledged_row(directory: Path) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    random_ = random.Random(seed)
    acknowledged = 0
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", APPEND_FOR_EVER, directory, str(random_.random())],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            for _ in range(random_.randrange(1, 30)):
                acknowledged = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])

        journal = await SQLiteJournal.open(directory, FORM)
        rows = await journal.rows(0, ALL)
        await journal.close()

        assert len(rows) >= acknowledged
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        assert all(row.key == f"k{row.seq}" for row in rows)
        assert json.loads(rows[-1].body)["block"][1] == len(rows), "the last block is whole"
