"""What the sweep stands on: everything occurs in its directory, and every page of it is damaged."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from messages.stored.events import (
    ERASED,
    KIND,
)
from persistence.sqlite.data_dir import DATABASE
from tests.golden.released import USERS
from tests.sweep import outcomes as o
from tests.sweep.damages import BIT, BLANK, PAGE, all_of, damaged, sample
from tests.sweep.directory import FORGOTTEN, LUMP_ROWS, SETTLED, TODAY, YESTERDAY, make
from tests.sweep.judge import judge_service
from tests.sweep.looking import content_of, verified
from tests.sweep.outcomes import Notes
from tests.sweep.running import Stage
from tests.sweep.sweeping import prepare, workplace
from tests.torture.places import committed_frames


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with workplace() as work:
        yield prepare(work)


def rows(directory: Path, query: str) -> list[Any]:
    path = directory / DATABASE
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def copy_of(stage: Stage, tmp_path: Path, name: str = TODAY) -> Path:
    return Path(shutil.copytree(stage._today.with_name(name), tmp_path / name))


def test_every_kind_of_row_and_file_is_there(stage: Stage, tmp_path: Path) -> None:
    whole = copy_of(stage, tmp_path)
    assert {row[0] for row in rows(whole, "SELECT DISTINCT kind FROM log")} == {*KIND.values()}
    assert {row[0] for row in rows(whole, "SELECT user_id FROM snapshots")} == {*USERS}
    about = f"SELECT user_id, personal = '{ERASED}' FROM log WHERE personal IS NOT NULL"
    found = {*rows(whole, about)}
    assert {user for user, is_erased in found if is_erased} == {FORGOTTEN}
    assert {user for user, is_erased in found if not is_erased} == {*USERS}
    ((last,),) = rows(whole, "SELECT max(seq) FROM log")
    ((before,),) = rows(copy_of(stage, tmp_path, YESTERDAY), "SELECT max(seq) FROM log")
    assert last > 4 * LUMP_ROWS > before > 3 * LUMP_ROWS
    files = {name.partition("/")[0] for name in stage.files()}
    assert files >= {DATABASE, f"{DATABASE}-wal", "index.db", "index.db-wal", "keys.filter"}
    assert files >= {"meterd.mark", "archive"}
    assert sum(name.startswith("archive/") for name in stage.files()) == 2
    assert (whole / "index.db-wal").stat().st_size
    assert not (stage._today.with_name(SETTLED) / "index.db-wal").exists()


def test_the_wal_has_what_is_committed_and_behind_it_what_was(stage: Stage) -> None:
    wal = (stage._today / f"{DATABASE}-wal").read_bytes()
    assert 4 < len(committed_frames(wal)) < len(wal) // (PAGE + 24)


def test_it_is_made_the_same_each_time(stage: Stage, tmp_path: Path) -> None:
    with structlog.testing.capture_logs():
        asyncio.run(make(tmp_path / "made"))
    again = content_of(tmp_path / "made" / TODAY, DATABASE)
    assert again == content_of(copy_of(stage, tmp_path), DATABASE)


def test_an_undamaged_copy_says_what_is_true_and_verify_names_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    copy, notes = copy_of(stage, tmp_path), Notes()
    assert verified(copy) == []
    with structlog.testing.capture_logs() as lines:
        asyncio.run(judge_service(copy, stage.truth, lines, notes))
    assert (notes.worst, notes.found) == (o.SAME, {})
    assert verified(copy) == []


def test_a_sample_of_damages_hits_every_page_and_each_changes_the_file(stage: Stage) -> None:
    content = (stage._today / DATABASE).read_bytes()
    every = all_of(DATABASE, content, None)
    assert len(every) == len(set(every))
    assert all(damaged(damage, content, None) != content for damage in every)
    some = sample(every, 2, 7)
    assert {*some} < {*every}
    pages = {*range(len(content) // PAGE)}
    # A page that is in the WAL alone so far may be blank already.
    blank = {page for page in pages if not any(content[page * PAGE : (page + 1) * PAGE])}
    assert len(blank) < 3
    for kind, hit in ((BLANK, pages - blank), (BIT, pages)):
        assert {d.first // PAGE for d in some if d.kind == kind} == hit
