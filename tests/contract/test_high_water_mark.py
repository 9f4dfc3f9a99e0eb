"""The end of the log that was committed is known beside the log, so its loss is noticed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from messages.stored.form import FORM
from persistence.errors import Refused
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.high_water_mark import MARK, HighWaterMark, marked
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_rows

WAL = f"{DATABASE}-wal"
BLOCKS = 60


async def killed(directory: Path, blocks: int = BLOCKS) -> Path:
    """The files of a journal that was killed: its rows are in the WAL."""
    journal = await SQLiteJournal.open(directory / "living", FORM)
    random_ = random.Random(1)
    for block in range(blocks):
        await journal.append(make_rows(random_, 1 + 3 * block, 3))
    shutil.copytree(directory / "living", directory / "killed")
    await journal.close()
    return directory / "killed"


def cut(wal: Path) -> None:
    with wal.open("r+b") as file:
        file.truncate(wal.stat().st_size * 2 // 3)


def flip(wal: Path) -> None:
    with wal.open("r+b") as file:
        file.seek(wal.stat().st_size * 2 // 3)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


def flip_the_header(wal: Path) -> None:
    with wal.open("r+b") as file:
        file.seek(9)
        file.write(b"\xff\xff")


@pytest.mark.parametrize("damage", [cut, flip, flip_the_header, Path.unlink])
async def test_a_log_whose_end_is_lost_is_refused_with_its_files_as_they_were(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    directory = await killed(tmp_path)
    damage(directory / WAL)
    files = {
        name: (directory / name).read_bytes()
        for name in (DATABASE, WAL, MARK)
        if (directory / name).exists() and (directory / name).stat().st_size
    }
    for _ in range(2):  # the refusal itself changes nothing
        with pytest.raises(Refused, match=rf"row {3 * BLOCKS}\b.*{MARK}"):
            await SQLiteJournal.open(directory, FORM)
    with pytest.raises(Refused, match=rf"row {3 * BLOCKS}\b"):
        Inspection.open(directory)
    for name, content in files.items():
        assert (directory / name).read_bytes() == content


async def test_without_the_mark_what_is_left_is_taken_as_it_is(tmp_path: Path) -> None:
    directory = await killed(tmp_path)
    cut(directory / WAL)
    (directory / MARK).unlink()
    journal = await SQLiteJournal.open(directory, FORM)
    last = await journal.last_seq()
    assert 0 < last < 3 * BLOCKS
    await journal.append(make_rows(random.Random(2), last + 1, 1))
    await journal.close()
    assert HighWaterMark.open(directory).seq == last + 1


async def test_a_whole_log_is_taken_after_a_kill_and_after_an_end_in_order(tmp_path: Path) -> None:
    directory = await killed(tmp_path)
    for _ in range(2):
        journal = await SQLiteJournal.open(directory, FORM)
        assert await journal.last_seq() == 3 * BLOCKS
        await journal.close()


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 16, b"\xff" * 16, b"7" * 40])
def test_a_damaged_mark_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MARK).write_bytes(content)
    assert HighWaterMark.open(tmp_path).seq == 0


def test_a_mark_that_cannot_be_written_stays_behind_and_disturbs_nobody(tmp_path: Path) -> None:
    mark = HighWaterMark.open(tmp_path)
    mark.advance(7)
    mark.close()
    mark.advance(9)
    assert HighWaterMark.open(tmp_path).seq == 7


def test_a_mark_that_cannot_be_read_is_refused_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    HighWaterMark.open(tmp_path).close()

    def fail(_: Path) -> bytes:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fail)
    for look in (HighWaterMark.open, marked):
        with pytest.raises(Refused, match=f"{MARK} cannot be .*: Permission denied"):
            look(tmp_path)
