"""A log is copied while it is written, and a copy becomes a log again."""

# ruff: noqa: ASYNC240 -- nothing else runs on the loop of these tests

from __future__ import annotations

import asyncio
import signal
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest

from messages.stored.form import FORM
from persistence.errors import Refused
from persistence.key_filter import KeyFilter
from persistence.sqlite import backup
from persistence.sqlite.backup import back_up, restore
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row, make_snapshot
from tests.support.service import ROOT

ALL = 1_000_000


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


async def filled(directory: Path, count: int = 900) -> SQLiteJournal:
    journal = await SQLiteJournal.open(directory, FORM)
    rows = [make_row(n, f"user-{n % 9}", key=f"k{n}", personal="[]") for n in range(1, count + 1)]
    await journal.append(rows, [make_snapshot("user-1", 10)])
    return journal


def broken(directory: Path) -> list[object]:
    with Inspection.open(directory) as log:
        check = log.chain()
        found = [
            one for row, proof, link, _ in log.written() for one in check.take(row, proof, link)
        ]
        return [*found, *check.end()]


async def test_a_copy_of_a_log_in_use_has_all_that_was_durable(
    directory: Path, copy: Path, tmp_path: Path
) -> None:
    journal = await filled(directory)
    rows = await journal.rows(0, ALL)
    copied = back_up(directory, copy)
    assert copied == (900, 900, copy.stat().st_size)
    await journal.close()

    other = tmp_path / "other"
    assert restore(copy, other)[:2] == (900, 900)
    again = await SQLiteJournal.open(other, FORM)
    assert await again.rows(0, ALL) == rows
    assert await again.snapshot("user-1") == make_snapshot("user-1", 10)
    assert (await again.find("user-3", "k12")) == rows[11]
    keys = KeyFilter(2_000)
    await again.load_keys(keys)
    assert not keys.surely_new("user-3", "k12")
    await again.append([make_row(901)])
    await again.close()
    assert broken(other) == []


async def test_a_copy_is_as_of_one_moment_whatever_is_written_meanwhile(
    directory: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "PAGES_AT_ONCE", 1)
    journal = await filled(directory)
    loop = asyncio.get_running_loop()
    written: list[object] = []

    def progress(_: int, __: int) -> None:
        """Between two pages of the copy a row is appended, in the thread of the loop."""
        if len(written) < 20:
            row = make_row(901 + len(written), body='{"filler":"' + "x" * 3_000 + '"}')
            asyncio.run_coroutine_threadsafe(journal.append([row]), loop).result(10)
            written.append(row)

    copied = await asyncio.to_thread(back_up, directory, copy, progress)
    assert len(written) == 20
    assert copied[:2] == (900, 900)
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT max(seq) FROM log").fetchone() == (900,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert await journal.last_seq() == 920
    await journal.close()


async def test_a_copy_is_one_file_for_its_owner_alone(directory: Path, copy: Path) -> None:
    journal = await filled(directory)
    back_up(directory, copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [path.name for path in copy.parent.glob("copy*")] == ["copy.db"]
    await journal.close()


async def test_a_file_that_is_there_is_never_written_over(directory: Path, copy: Path) -> None:
    journal = await filled(directory, 3)
    copy.write_text("mine")
    with pytest.raises(Refused, match="is there already"):
        back_up(directory, copy)
    assert copy.read_text() == "mine"
    await journal.close()


async def test_a_copy_that_fails_leaves_no_file(directory: Path, copy: Path) -> None:
    journal = await filled(directory)

    def fail(_: int, __: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(Refused, match="No space left"):
        back_up(directory, copy, fail)
    assert list(copy.parent.glob("copy*")) == []
    await journal.close()


def test_a_missing_log_or_copy_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is no"):
        back_up(tmp_path, tmp_path / "copy.db")
    with pytest.raises(Refused, match="there is no"):
        restore(tmp_path / "copy.db", tmp_path / "data")
    assert not (tmp_path / "data").exists()


async def test_a_log_is_never_restored_over_another_nor_under_a_service(
    directory: Path, copy: Path
) -> None:
    journal = await filled(directory, 3)
    back_up(directory, copy)
    with pytest.raises(Refused, match="is held by process"):
        restore(copy, directory)
    await journal.close()
    with pytest.raises(Refused, match="is there already: move it away"):
        restore(copy, directory)


async def test_remains_of_a_former_log_are_no_part_of_the_restored_one(
    directory: Path, copy: Path
) -> None:
    journal = await filled(directory)
    back_up(directory, copy)
    await journal.append([make_row(901), make_row(902)])
    wal = (directory / "meterd.db-wal").read_bytes()
    await journal.close()
    (directory / "meterd.db").unlink()
    (directory / "meterd.db-wal").write_bytes(wal)
    restore(copy, directory)
    again = await SQLiteJournal.open(directory, FORM)
    assert await again.last_seq() == 900
    assert await again.find("user-3", "k12") is not None
    await again.close()
    assert broken(directory) == []


KILLED_MIDWAY = """
import os, signal, sys
from pathlib import Path
from persistence.sqlite import backup

backup.PAGES_AT_ONCE = 1
backup.restore(*map(Path, sys.argv[1:]), lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""


async def test_beside_a_restore_that_was_killed_no_empty_log_is_begun(
    directory: Path, copy: Path, tmp_path: Path
) -> None:
    journal = await filled(directory)
    back_up(directory, copy)
    await journal.close()
    other = tmp_path / "other"
    command = [sys.executable, "-c", KILLED_MIDWAY, str(copy), str(other)]
    killed = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    assert await killed.wait() == -signal.SIGKILL
    part = other / "meterd.db.part"
    for _ in range(2):
        with pytest.raises(Refused, match=f"was interrupted: run it again, or remove {part}"):
            await SQLiteJournal.open(other, FORM)
        assert part.exists()
    restore(copy, other)
    assert not part.exists()
    again = await SQLiteJournal.open(other, FORM)
    assert await again.last_seq() == 900
    await again.close()


async def test_whoever_removes_the_part_of_a_restore_begins_with_an_empty_log(
    directory: Path,
) -> None:
    directory.mkdir()
    (directory / "meterd.db.part").touch()
    with pytest.raises(Refused, match="to begin with an empty log"):
        await SQLiteJournal.open(directory, FORM)
    (directory / "meterd.db.part").unlink()
    await (await SQLiteJournal.open(directory, FORM)).close()
    (directory / "meterd.db.part").touch()  # of no use beside a log: `doctor` names it
    await (await SQLiteJournal.open(directory, FORM)).close()


@pytest.mark.parametrize("damage", ["text", "page", "foreign", "newer"])
async def test_a_copy_that_is_of_no_use_is_refused_and_the_directory_stays_without_a_log(
    directory: Path, copy: Path, tmp_path: Path, damage: str
) -> None:
    journal = await filled(directory)
    back_up(directory, copy)
    await journal.close()
    if damage == "text":
        copy.write_text("once upon a time " * 1_000)
    elif damage == "page":
        whole = bytearray(copy.read_bytes())
        for page in range(2, len(whole) // 4096):
            whole[page * 4096 : page * 4096 + 64] = bytes(64)
        copy.write_bytes(whole)
    else:
        with closing(sqlite3.connect(copy)) as db:
            name = "application_id" if damage == "foreign" else "user_version"
            db.execute(f"PRAGMA {name} = 999")
    other = tmp_path / "other"
    with pytest.raises(Refused) as refused:
        restore(copy, other)
    assert "\n" not in str(refused.value)
    assert (other / "meterd.db").stat().st_size == 0
    assert {path.name for path in other.iterdir()} == {"meterd.db", "meterd.lock"}
