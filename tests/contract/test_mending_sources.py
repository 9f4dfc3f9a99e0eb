"""Which sources a mend takes, and what it says of what no source has."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from messages.stored.form import FORM
from persistence.archive.files import DIRECTORY as ARCHIVE
from persistence.errors import Refused
from persistence.sqlite.backup import back_up
from persistence.sqlite.data_dir import Claim
from persistence.sqlite.high_water_mark import MARK
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.mending import swapping
from persistence.sqlite.mending.report import lines
from tests.support.data import edit
from tests.support.mending import (
    DATABASE,
    ERASED_BEFORE,
    FORGOTTEN,
    MIDDLE,
    PAGE,
    ROWS,
    SECRET,
    Fresh,
    Made,
    blank,
    blank_what_matters,
    broken,
    kept,
    kind_of,
    losses,
    mended,
    missing,
    pages_of,
    stored,
    usage,
)

# Other logs


WAL = f"{DATABASE}-wal"


async def other_log(where: Path, rows: int) -> Path:
    """A backup of a log with the same users and other rows."""
    journal = await SQLiteJournal.open(where, FORM)
    await journal.append([usage(seq)._replace(body='{"other":1}') for seq in range(1, rows + 1)])
    await journal.close()
    return where / DATABASE


async def forked(made: Made, where: Path, last: int) -> Path:
    """A backup of the log as of the middle that was restored and continued elsewhere."""
    shutil.copytree(made.closed / ARCHIVE, where / ARCHIVE)
    shutil.copy(made.middle, where / DATABASE)
    journal = await SQLiteJournal.open(where, FORM)
    await journal.append([usage(seq) for seq in range(MIDDLE + 1, last + 1)])
    await journal.close()
    return where / DATABASE


async def test_a_backup_of_another_log_is_refused(made: Made, fresh: Fresh, tmp_path: Path) -> None:
    other = await other_log(tmp_path / "other", 400)
    data = fresh(made.closed)
    blank(data / DATABASE, 20)
    before = (data / DATABASE).read_bytes()
    with pytest.raises(Refused, match=rf"{other} is of another log than meterd.db.* row 1 "):
        mended(data, other, made.newest, accept_loss=True)
    assert (data / DATABASE).read_bytes() == before


async def test_a_log_that_was_restored_and_continued_elsewhere_is_refused(
    made: Made, fresh: Fresh, tmp_path: Path
) -> None:
    fork = await forked(made, tmp_path / "fork", 400)
    data = fresh(made.closed)
    edit(data, "UPDATE log SET body = '{}' WHERE seq = 12")
    with pytest.raises(Refused, match=rf"fork.* is of another log than .*row {MIDDLE + 1} "):
        mended(data, fork)


async def test_rows_of_a_fork_on_which_later_ones_do_not_build_are_left_out(
    made: Made, fresh: Fresh, tmp_path: Path
) -> None:
    """The fork ends within the gap, so that no row of it is another one of the log's."""
    fork = await forked(made, tmp_path / "fork", MIDDLE + 19)
    data = fresh(made.closed)
    edit(data, f"DELETE FROM log WHERE seq > {MIDDLE} AND seq < {MIDDLE + 20}")
    with closing(sqlite3.connect(data / DATABASE)) as db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("VACUUM")  # so that no page has them any more
    report = mended(data, fork, accept_loss=True)
    assert missing(report) == list(range(MIDDLE + 1, MIDDLE + 20))
    assert broken(data) == []


# Persons


def personal_of(data: Path) -> dict[str, int]:
    """How many rows that the backup of the middle has too have such fields, by user."""
    found: dict[str, int] = {}
    for row in stored(data):
        if row[0] <= MIDDLE and row[8] and SECRET in row[8]:
            found[row[2]] = found.get(row[2], 0) + 1
    return found


def test_personal_fields_that_were_erased_never_come_back_from_a_backup(
    made: Made, fresh: Fresh
) -> None:
    with closing(sqlite3.connect(made.middle)) as db:
        query = "SELECT count(*) FROM log WHERE user_id = ? AND personal LIKE '%10.20%'"
        assert db.execute(query, (FORGOTTEN,)).fetchone()[0] > 9
    rng = random.Random(7)
    for _ in range(12):
        data = fresh(made.closed)
        for page in rng.sample(range(1, pages_of(data / DATABASE)), 8):
            blank(data / DATABASE, page)
        report = mended(data, made.middle, accept_loss=True)
        found = personal_of(data)
        assert FORGOTTEN not in found
        assert ERASED_BEFORE not in found
        assert found["user-1"] > 0
        content = b"".join(path.read_bytes() for path in data.glob("meterd.db*"))
        assert b'"n":3}' not in content, "of a row of who was forgotten"
        assert report.without_personal <= 1


def test_a_row_of_a_user_of_whom_nothing_else_is_left_comes_without_personal_fields(
    made: Made, fresh: Fresh
) -> None:
    data = fresh(made.closed)
    edit(data, "UPDATE log SET body = '{\"n\":0}', at = 0 WHERE user_id = 'user-5'")
    report = mended(data, made.newest)
    assert (report.missing, report.without_personal) == ([], 1)
    found = personal_of(data)
    assert "user-5" not in found
    assert found["user-1"] > 0
    assert "rows of a backup without their personal fields" in "\n".join(lines(report))


def test_a_user_whose_rows_come_from_two_backups_is_one_user(made: Made, fresh: Fresh) -> None:
    data = fresh(made.closed)
    edit(data, "UPDATE log SET body = '{\"n\":0}', at = 0 WHERE user_id = 'user-5'")
    report = mended(data, made.middle, made.newest)
    assert min(report.taken[str(backup)] for backup in (made.middle, made.newest)) > 0
    assert (report.missing, report.without_personal) == ([], 1)


# Refusals, and what was accepted


def test_a_directory_that_is_in_use_or_has_no_log_is_refused(made: Made, fresh: Fresh) -> None:
    data = fresh(made.closed)
    claim = Claim.take(data)
    with pytest.raises(Refused, match="is held by process"):
        mended(data)
    claim.close()
    (data / DATABASE).unlink()
    with pytest.raises(Refused, match=r"there is no .*meterd\.db"):
        mended(data)
    assert not (data / DATABASE).exists()


def test_a_log_of_which_nothing_is_left_is_to_be_restored(made: Made, fresh: Fresh) -> None:
    data = fresh(made.closed)
    (data / DATABASE).write_bytes(bytes(pages_of(data / DATABASE) * PAGE))
    with pytest.raises(Refused, match="meterd restore"):
        mended(data, made.newest)


@pytest.mark.parametrize("how", ["missing", "foreign"])
def test_a_backup_that_is_of_no_use_is_refused_in_a_line(
    made: Made, fresh: Fresh, tmp_path: Path, how: str
) -> None:
    data, copy = fresh(made.closed), tmp_path / "copy.db"
    if how == "foreign":
        with closing(sqlite3.connect(copy)) as db:
            db.execute("CREATE TABLE x (y)")
    with pytest.raises(Refused) as refused:
        mended(data, copy)
    assert "\n" not in str(refused.value)


def test_a_backup_that_is_no_database_may_be_a_damaged_one_and_nothing_of_it_is_taken(
    made: Made, fresh: Fresh, tmp_path: Path
) -> None:
    data, copy = fresh(made.closed), tmp_path / "copy.db"
    copy.write_text("once upon a time " * 999)
    report = mended(data, copy)
    assert report.outcome == "whole"
    assert sum(count for name, count in report.taken.items() if str(copy) in name) == 0


def test_a_damaged_backup_gives_what_is_whole_of_it(
    made: Made, fresh: Fresh, tmp_path: Path
) -> None:
    data, copy = fresh(made.closed), tmp_path / "copy.db"
    shutil.copy(made.newest, copy)
    blank(copy, 0)
    edit(data, "DELETE FROM log WHERE seq = 310; DELETE FROM log WHERE seq = 44;")
    with closing(sqlite3.connect(data / DATABASE)) as db:
        db.execute("VACUUM")
    report = mended(data, copy)
    assert report.outcome == "mended"
    assert report.taken[f"{copy}, page by page"] == 2
    assert stored(data) == made.rows


def test_a_damaged_position_of_a_backup_makes_the_log_no_longer_than_it_was(
    made: Made, fresh: Fresh, tmp_path: Path
) -> None:
    data, copy = fresh(made.closed), tmp_path / "copy"
    copy.mkdir()
    shutil.copy(made.newest, copy / DATABASE)
    edit(copy, f"UPDATE log SET seq = {ROWS + 999} WHERE seq = {ROWS}")
    report = mended(data, copy / DATABASE)
    assert (report.outcome, report.missing, report.last) == ("whole", [], ROWS)


def test_a_dry_run_says_the_same_and_changes_nothing(made: Made, fresh: Fresh) -> None:
    data = fresh(made.closed)
    blank(data / DATABASE, 1)
    (data / swapping.WRITING).write_bytes(b"of one that was killed")
    before = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()}
    said = mended(data, made.middle, dry_run=True)
    after = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()}
    assert {name: after[name] for name in before if name != "meterd.lock"}.items() <= before.items()
    assert {*after} - {*before} <= {f"{DATABASE}-shm", WAL}
    done = mended(data, made.middle)
    assert not (data / swapping.WRITING).exists()
    assert said._replace(dry_run=False, kept_in=done.kept_in) == done


def test_what_was_accepted_as_lost_is_not_asked_for_again_and_stays_lost_with_a_backup_too(
    made: Made, fresh: Fresh
) -> None:
    data = fresh(made.closed)
    edit(data, "DELETE FROM log WHERE seq BETWEEN 310 AND 320")
    with closing(sqlite3.connect(data / DATABASE)) as db:
        db.execute("VACUUM")
    assert missing(mended(data, accept_loss=True)) == list(range(310, 321))
    assert mended(data).outcome == "whole"
    edit(data, "UPDATE log SET body = '{}' WHERE seq = 400")
    report = mended(data, accept_loss=True)
    assert missing(report) == [400]
    assert [(one.first, one.last) for one in losses(data).all] == [(310, 320), (400, 400)]
    edit(data, "DELETE FROM log WHERE seq = 44")
    before = losses(data).all
    for backups, has in (([made.newest], 12), ([made.middle], 0), ([made.newest] * 2, 12)):
        said = mended(data, *backups, dry_run=True)
        assert (said.outcome, said.missing, said.stay_lost) == ("mended", [], has)
        assert (f"{has} rows that were accepted as lost" in "\n".join(lines(said))) is bool(has)
    report = mended(data, made.newest)
    assert (report.outcome, report.missing, report.stay_lost) == ("mended", [], 12)
    assert losses(data).all == before
    gone = {*range(310, 321), 400}
    assert stored(data) == [row for row in made.rows if row[0] not in gone]
    assert broken(data) == []
    again = mended(data, made.newest)
    assert (again.outcome, again.stay_lost) == ("whole", 12), "there is nothing to be mended"


def test_an_accepted_loss_that_cannot_be_read_is_damage_and_the_others_stay_lost(
    made: Made, fresh: Fresh
) -> None:
    data = fresh(made.closed)
    edit(data, "DELETE FROM log WHERE seq IN (310, 330); VACUUM;")
    mended(data, accept_loss=True)
    edit(data, "UPDATE losses SET last = 311 WHERE first = 310")
    report = mended(data)
    assert (report.outcome, missing(report), len(report.damaged)) == ("lost", [310], 1)
    assert "the accepted loss from row 310 on" in report.damaged[0]
    report = mended(data, made.newest)
    assert (report.outcome, report.stay_lost) == ("mended", 1)
    assert [one.first for one in losses(data).all] == [330]
    assert stored(data) == [row for row in made.rows if row[0] != 330]
    assert broken(data) == []


@pytest.mark.parametrize(("of", "comes"), [("before", False), ("after", True)])
def test_a_snapshot_of_before_an_accepted_loss_stands_for_no_damaged_one_behind_it(
    made: Made, fresh: Fresh, tmp_path: Path, of: str, comes: bool
) -> None:
    """One of before may reflect what is lost, which calls that were sent again counted since."""
    data, after = fresh(made.closed), tmp_path / "after.db"
    edit(data, "DELETE FROM log WHERE user_id = 'user-1' AND seq = 460; VACUUM;")
    assert missing(mended(data, accept_loss=True)) == [460]
    back_up(data, after)
    edit(data, "UPDATE snapshots SET body = 7 WHERE user_id = 'user-1'; VACUUM;")
    assert mended(data, made.newest if of == "before" else after).outcome == "mended"
    with closing(sqlite3.connect(data / DATABASE)) as db:
        query = "SELECT seq FROM snapshots WHERE user_id = 'user-1'"
        assert db.execute(query).fetchall() == ([(ROWS,)] if comes else [])
        query = "SELECT count(*) FROM snapshots"
        assert db.execute(query).fetchone() == (8 + comes,), "those of others come along"


def test_the_damaged_files_are_kept_as_they_were(made: Made, fresh: Fresh) -> None:
    data = fresh(made.data)
    blank_what_matters(data)
    before = {name: (data / name).read_bytes() for name in (DATABASE, WAL, MARK, "index.db")}
    for number in range(2):
        report = mended(data, made.newest)
        assert report.outcome == ("whole" if number else "mended")
        assert kept(data).items() >= before.items()


def test_damage_of_sqlite_s_own_structure_alone_costs_no_row(made: Made, fresh: Fresh) -> None:
    data = fresh(made.closed)
    found: list[int] = []
    for page in range(1, pages_of(data / DATABASE)):
        if kind_of(made.closed / DATABASE, page) == "leaf of an index":
            data = fresh(made.closed)
            content = bytearray((data / DATABASE).read_bytes())
            content[page * PAGE + PAGE - 4] ^= 64  # in a cell
            (data / DATABASE).write_bytes(content)
            report = mended(data)
            assert report.missing == []
            assert stored(data) == made.rows
            found += [page] if report.outcome == "mended" else []
    assert found
