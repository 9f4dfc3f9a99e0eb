"""A disk that gives back errors in place of sectors: what is lost is as if it were blank."""

from __future__ import annotations

import errno
import random
import sqlite3
from pathlib import Path

import pytest

from messages.stored.form import FORM
from persistence.archive.files import DIRECTORY as ARCHIVE
from persistence.errors import ArchiveDamaged, ArchiveUnreadable, Refused
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.high_water_mark import LOST, MARK, HighWaterMark, marked
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.mending.report import Report, lines
from tests.support.data import edit
from tests.support.mending import (
    ARCHIVED,
    PAGE,
    ROWS,
    Fresh,
    Made,
    blank,
    broken,
    mended,
    pages_of,
    stored,
)
from tests.support.unread import BadDisk

WAL = f"{DATABASE}-wal"
SECTOR = 512
ARCHIVE_OF_ALL = f"1-{ARCHIVED}.jsonl.gz"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> BadDisk:
    return BadDisk(monkeypatch)


def overwrite(path: Path, *parts: range) -> None:
    content = bytearray(path.read_bytes())
    for part in parts:
        content[part.start : part.stop] = bytes(len(part))
    path.write_bytes(content)


def page(number: int) -> range:
    return range(number * PAGE, (number + 1) * PAGE)


def places(rng: random.Random, size: int, how: str) -> list[range]:
    sectors, pages = size // SECTOR, size // PAGE
    if how == "a sector":
        first = rng.randrange(sectors) * SECTOR
        return [range(first, first + SECTOR)]
    if how == "the first page":
        return [page(0)]
    return [page(number) for number in rng.sample(range(pages), {"a page": 1}.get(how, 6))]


def said(report: Report) -> Report:
    """A report but for when it was made."""
    return report._replace(kept_in=None)


# Pages of the log


@pytest.mark.parametrize("begins", [False, True], ids=["fails", "ends before"])
@pytest.mark.parametrize("how", ["a sector", "a page", "the first page", "pages"])
@pytest.mark.parametrize("file", [DATABASE, WAL])
def test_what_cannot_be_read_is_as_if_it_were_blank(
    made: Made, fresh: Fresh, disk: BadDisk, file: str, how: str, begins: bool
) -> None:
    """Without a backup all that other pages have is found, and with one nothing is missing."""
    seed = f"{file} {how} {begins}"
    print(f"seed {seed}")
    lost = places(random.Random(seed), (made.data / file).stat().st_size, how)
    # SQLite shall find no way to any row, so that each page is looked at.
    blind = [(DATABASE, page(0)), (WAL, range(32))]
    reports: list[list[Report]] = []
    data = made.data
    for is_lost in (False, True):
        data = fresh(made.data)
        for name, part in blind:
            overwrite(data / name, part)
        overwrite(data / file, *lost)
        if is_lost:
            disk.lose(data / file, *lost, begins=begins)
        backups: tuple[list[Path], ...] = ([], [made.middle], [made.newest])
        reports.append([said(mended(data, *some, dry_run=True)) for some in backups])
    assert disk.reads
    assert reports[0] == reports[1]
    assert mended(data, made.newest).outcome == "mended"
    assert stored(data) == made.rows
    assert broken(data) == []


def test_rows_of_the_wal_behind_a_lost_sector_are_found(
    made: Made, fresh: Fresh, disk: BadDisk
) -> None:
    """Frames and sectors do not begin together: a read of a frame's header may end in it."""
    data = fresh(made.data)
    overwrite(data / WAL, range(32))
    frames = ((data / WAL).stat().st_size - 32) // (24 + PAGE)
    header = 32 + (frames // 2) * (24 + PAGE)
    lost = range(header + 8, header + SECTOR)
    overwrite(data / WAL, lost)
    blank_only = mended(data, dry_run=True)
    disk.lose(data / WAL, lost, begins=True)
    report = mended(data, dry_run=True)
    assert disk.reads
    assert said(report) == said(blank_only)
    assert report.taken[f"{DATABASE}, page by page"] > 0
    assert report.last == ROWS


def test_an_error_that_is_of_no_sector_is_refused_with_the_file(
    made: Made, fresh: Fresh, disk: BadDisk
) -> None:
    data = fresh(made.closed)
    blank(data / DATABASE, 0)
    disk.error = errno.ESTALE
    disk.lose(data / DATABASE, page(3))
    with pytest.raises(Refused, match=rf"{data / DATABASE} cannot be used: Stale"):
        mended(data, made.newest)


def test_snapshots_that_cannot_be_looked_for_are_refused_with_the_file(
    made: Made, fresh: Fresh, disk: BadDisk
) -> None:
    """All rows are there, so that nobody else looks at pages."""
    data = fresh(made.closed)
    edit(data, "UPDATE snapshots SET body = 7 WHERE user_id = 'user-1'")
    before = (data / DATABASE).read_bytes()
    disk.error = errno.ENXIO
    disk.lose(data / DATABASE, page(3))
    with pytest.raises(Refused, match=rf"{data / DATABASE} cannot be used: No such device"):
        mended(data)
    assert (data / DATABASE).read_bytes() == before
    disk.error = errno.EIO
    assert mended(data).outcome == "mended"


# Headers


def test_a_log_whose_header_is_lost_is_made_of_its_pages(
    made: Made, fresh: Fresh, disk: BadDisk
) -> None:
    data = fresh(made.closed)
    disk.lose_header(data / DATABASE)
    disk.lose(data / DATABASE, page(0))
    report = mended(data, dry_run=True)
    assert (report.outcome, report.missing) == ("mended", [])
    assert report.damaged[0] == "disk I/O error"
    assert report.taken == {DATABASE: 0, f"{DATABASE}, page by page": ROWS}


def test_a_backup_whose_header_is_lost_gives_what_its_pages_have(
    made: Made, fresh: Fresh, disk: BadDisk
) -> None:
    data = fresh(made.closed)
    for number in range(1, pages_of(data / DATABASE) // 2):
        blank(data / DATABASE, number)
    assert mended(data, dry_run=True).missing
    disk.lose_header(made.newest)
    disk.lose(made.newest, page(0))
    report = mended(data, made.newest)
    assert report.outcome == "mended"
    assert report.taken[f"{made.newest}, page by page"] > 0
    assert stored(data) == made.rows


@pytest.mark.parametrize("of", ["the log", "a backup"])
def test_a_file_that_cannot_be_opened_for_another_reason_is_refused(
    made: Made, fresh: Fresh, disk: BadDisk, of: str
) -> None:
    data = fresh(made.closed)
    disk.lose_header(
        data / DATABASE if of == "the log" else made.newest, code=sqlite3.SQLITE_CANTOPEN
    )
    with pytest.raises(Refused, match="disk I/O error"):
        mended(data, made.newest)


async def test_a_start_on_a_lost_header_is_refused_and_says_what_to_do(
    made: Made, fresh: Fresh, disk: BadDisk
) -> None:
    data = fresh(made.closed)
    disk.lose_header(data / DATABASE)
    with pytest.raises(Refused, match=rf"{data / DATABASE} is damaged .* run meterd mend"):
        await SQLiteJournal.open(data, FORM)
    with pytest.raises(Refused, match=rf"{data / DATABASE} .*, then meterd mend --backup FILE"):
        Inspection.open(data, whole=False)


def test_an_index_whose_header_is_lost_is_a_fault_and_no_end_of_the_look(
    made: Made, fresh: Fresh, disk: BadDisk
) -> None:
    data = fresh(made.closed)
    disk.lose_header(data / INDEX)
    with Inspection.open(data, whole=False) as log:
        faults = [*log.derived(FORM).faults()]
    assert [(one.field, one.file, one.why) for one in faults if one.file == INDEX] == [
        ("index", INDEX, "it cannot be read")
    ]


# Beside the log


def test_a_lost_mark_says_nothing_and_is_made_anew(tmp_path: Path, disk: BadDisk) -> None:
    mark = HighWaterMark.open(tmp_path)
    mark.advance(7)
    mark.close()
    before = (tmp_path / MARK).stat().st_ino
    held = (tmp_path / MARK).open("rb")  # so that the number of the file is not used again
    with pytest.MonkeyPatch.context() as patch:
        BadDisk(patch).lose_file(tmp_path / MARK)
        assert marked(tmp_path) == (0, LOST)
        mark = HighWaterMark.open(tmp_path)
    mark.advance(9)
    mark.close()
    assert (tmp_path / MARK).stat().st_ino != before
    held.close()
    assert marked(tmp_path) == (9, "")


def test_a_log_whose_mark_is_lost_is_whole_and_the_report_says_so(
    made: Made, fresh: Fresh, disk: BadDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fresh(made.closed)
    with monkeypatch.context() as patch:
        BadDisk(patch).lose_file(data / MARK)
        for dry_run in (True, False):
            report = mended(data, dry_run=dry_run)
            assert (report.outcome, report.damaged) == ("whole", [f"{MARK}: {LOST}"])
            assert f"damaged: {MARK}: {LOST}" in lines(report)
    assert marked(data) == (ROWS, "")


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES])
async def test_an_archive_that_is_lost_is_damaged_and_one_that_may_come_back_is_not(
    made: Made, fresh: Fresh, disk: BadDisk, error: int
) -> None:
    data = fresh(made.closed)
    disk.error = error
    disk.lose_file(data / ARCHIVE / ARCHIVE_OF_ALL)
    journal = await SQLiteJournal.open(data, FORM)
    try:
        with pytest.raises(ArchiveUnreadable, match=f"{ARCHIVE_OF_ALL} cannot be read") as raised:
            await journal.rows(0, 1)
        others = await journal.rows(ARCHIVED, 1)
    finally:
        await journal.close()
    assert isinstance(raised.value, ArchiveDamaged) == (error == errno.EIO)
    assert [row.seq for row in others] == [ARCHIVED + 1]


@pytest.mark.parametrize("is_known", [True, False])
def test_an_archive_of_which_nobody_knows_what_it_has_is_not_left_out_silently(
    made: Made, fresh: Fresh, disk: BadDisk, is_known: bool
) -> None:
    data = fresh(made.closed)
    edit(data, "UPDATE archives SET blocks = '[]'")
    backups = [made.newest] if is_known else []
    path = data / ARCHIVE / ARCHIVE_OF_ALL
    with pytest.MonkeyPatch.context() as patch:
        BadDisk(patch).lose_file(path)
        if is_known:
            assert mended(data, *backups, dry_run=True).outcome == "mended"
        else:
            with pytest.raises(Refused, match=rf"{path} cannot be read .*: put a copy of it back"):
                mended(data)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    report = mended(data, *backups, dry_run=True)
    damaged = [line for line in report.damaged if ARCHIVE_OF_ALL in line and ARCHIVE in line]
    assert any("nothing else says which rows" in line for line in damaged) is not is_known
