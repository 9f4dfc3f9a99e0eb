"""A mend that is killed at any step leaves the old log or the new one, and is finished later."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from messages.stored.form import FORM
from persistence.errors import Refused
from persistence.sqlite import high_water_mark
from persistence.sqlite.data_dir import MENDED
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.mending import mend, swapping, writing
from tests.support.data import edit
from tests.support.mending import (
    DATABASE,
    Made,
    broken,
    mended,
    stored,
)

KILLED = 9
WAL = f"{DATABASE}-wal"
STEPS = (
    (mend, "sync"),
    (swapping, "sync"),
    (writing, "sync"),
    (Path, "rename"),
    (Path, "unlink"),
    (Path, "mkdir"),
    (os, "link"),
    (high_water_mark.HighWaterMark, "advance"),
)


def killed_at(step: int, directory: Path, backup: Path) -> bool:
    """Mend in a process that ends before a step, which it counts; False if it came to its end."""
    child = os.fork()
    if child == 0:
        left = [step]

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def instead(*args: Any, **options: Any) -> Any:
                left[0] -= 1
                if left[0] < 0:
                    os._exit(KILLED)  # as by a signal: nothing is unwound
                return function(*args, **options)

            return instead

        for owner, name in STEPS:
            setattr(owner, name, counted(getattr(owner, name)))
        try:
            mended(directory, backup)
        except BaseException:  # noqa: BLE001 -- the process of the tests must not go on twice
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, KILLED}
    return code == KILLED


def starts(directory: Path) -> str:
    """Why a service refuses to start; "" if it does."""

    async def start() -> str:
        try:
            journal = await SQLiteJournal.open(directory, FORM)
        except Refused as error:
            return str(error)
        await journal.close()
        return ""

    return asyncio.run(start())


def test_wherever_a_mend_is_killed_it_is_finished_by_the_next_one(
    made: Made, tmp_path: Path
) -> None:
    source = tmp_path / "damaged"
    shutil.copytree(made.data, source)
    damage(source)
    old = {name: (source / name).read_bytes() for name in (DATABASE, WAL)}
    step, seen = 0, set[str]()
    while True:
        data, other = tmp_path / f"data-{step}", tmp_path / f"other-{step}"
        shutil.copytree(source, data)
        if not killed_at(step, data, made.newest):
            break
        shutil.copytree(data, other)
        why = starts(other)
        if (data / MENDED).exists():
            seen.add("refused")
            assert why == f"a mend of {other} was interrupted: run meterd mend again to finish it"
            report = mended(data)  # it needs no backup any more
            assert report.outcome == "finished"
        else:
            assert "interrupted" not in why
            is_old = {name: (data / name).exists() for name in old} == dict.fromkeys(old, True)
            seen.add("old" if is_old else "new")
            if is_old:
                assert {name: (data / name).read_bytes() for name in old} == old
            else:
                assert why == ""
            mended(data, made.newest)
        assert stored(data) == made.rows, step
        assert broken(data) == [], step
        assert starts(data) == "", step
        kept = {path.name: path.read_bytes() for path in data.glob("damaged-*/meterd.db*")}
        assert kept.items() >= old.items(), step
        assert not [*data.glob("*.mend*"), *data.glob("*.salvaged*")], step
        step += 1
    assert seen == {"old", "refused", "new"}
    assert step > 15


def damage(directory: Path) -> None:
    """Two rows are not as they were written; the newest rows stay in the WAL."""
    content = (directory / WAL).read_bytes()
    assert content
    database = bytearray((directory / DATABASE).read_bytes())
    for seq in (201, 280):
        at = database.find(b'{"n":%d,' % seq)
        assert at > 0
        while at > 0:
            database[at + 2] ^= 1
            at = database.find(b'{"n":%d,' % seq, at)
    (directory / DATABASE).write_bytes(database)
    assert b'{"n":280,' not in content


def test_a_file_system_without_a_second_name_for_a_file_has_a_copy(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise OSError(1, "not permitted")

    monkeypatch.setattr(os, "link", refuses)
    data = tmp_path / "data"
    shutil.copytree(made.closed, data)
    edit(data, "UPDATE log SET body = '{}' WHERE seq = 201")
    damaged = (data / DATABASE).read_bytes()
    report = mended(data, made.middle)
    assert report.kept_in is not None
    assert (Path(report.kept_in) / DATABASE).read_bytes() == damaged
    assert stored(data) == made.rows


def test_a_database_that_is_a_link_is_left_where_it_is(made: Made, tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    shutil.copytree(made.closed, data)
    edit(data, "UPDATE log SET body = '{}' WHERE seq = 201")
    elsewhere.mkdir()
    (data / DATABASE).rename(elsewhere / DATABASE)
    (data / DATABASE).symlink_to(elsewhere / DATABASE)
    damaged = (elsewhere / DATABASE).read_bytes()
    report = mended(data, made.middle)
    assert report.kept_in is not None
    assert (Path(report.kept_in) / DATABASE).resolve() == elsewhere / DATABASE
    assert (elsewhere / DATABASE).read_bytes() == damaged
    assert not (data / DATABASE).is_symlink()
    assert stored(data) == made.rows


def test_of_a_database_that_is_a_link_the_wal_is_looked_at_page_by_page_too(
    made: Made, tmp_path: Path
) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    shutil.copytree(made.data, data)
    wal = bytearray((data / WAL).read_bytes())
    wal[len(wal) // 2] ^= 1  # SQLite takes no frame from this one on
    (data / WAL).unlink()
    elsewhere.mkdir()
    (elsewhere / WAL).write_bytes(wal)
    (data / DATABASE).rename(elsewhere / DATABASE)
    (data / DATABASE).symlink_to(elsewhere / DATABASE)
    report = mended(data)
    assert (report.outcome, report.missing) == ("mended", [])
    assert report.taken[f"{DATABASE}, page by page"] > 0
    assert stored(data) == made.rows


def test_a_disk_that_is_full_leaves_the_log_as_it_was(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    shutil.copytree(made.closed, data)
    edit(data, "UPDATE log SET body = '{}' WHERE seq = 201")
    before = (data / DATABASE).read_bytes()

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "sync", full)
    with pytest.raises(Refused, match="cannot be written: No space left on device"):
        mended(data, made.middle)
    monkeypatch.undo()
    assert (data / DATABASE).read_bytes() == before
    assert not [*data.glob("damaged-*"), *data.glob("*.mend*")]
    assert mended(data, made.middle).outcome == "mended"
