"""A damaged log is made whole again out of itself and its backups, or what is missing is listed."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from messages.stored.form import FORM
from persistence.archive.files import DIRECTORY as ARCHIVE
from persistence.errors import Refused
from persistence.records import Row
from persistence.sqlite.data_dir import Claim
from persistence.sqlite.high_water_mark import MARK, marked
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.mending.report import Report, lines
from tests.support.mending import (
    ARCHIVED,
    DATABASE,
    ERASED_BEFORE,
    FORGOTTEN,
    MIDDLE,
    PAGE,
    ROWS,
    SECRET,
    Made,
    blank,
    broken,
    edit,
    losses,
    make,
    mended,
    pages_of,
    stored,
    usage,
)
from tests.support.rows import make_row

WAL = f"{DATABASE}-wal"
KINDS = {2: "inner page of an index", 5: "inner page", 10: "leaf of an index", 13: "leaf"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return asyncio.run(make(tmp_path_factory.mktemp("mending")))


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a directory to where it may be damaged."""

    def copied(source: Path) -> Path:
        target = tmp_path / "data"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        return target

    return copied


Fresh = Callable[[Path], Path]


def missing(report: Report) -> list[int]:
    return [seq for one in report.missing for seq in range(one.first, one.last + 1)]


def kept(directory: Path) -> dict[str, bytes]:
    """The files of damaged logs, by name."""
    return {
        path.name: path.read_bytes() for path in directory.glob("damaged-*/*") if path.is_file()
    }


def blank_what_matters(data: Path) -> None:
    """Blank a page with rows that are not in the WAL as well."""
    content = (data / DATABASE).read_bytes()
    for page in range(3, len(content) // PAGE):
        blank(data / DATABASE, page)
        if mended(data, dry_run=True).missing:
            return
        (data / DATABASE).write_bytes(content)
    raise AssertionError("no page matters")


def kind_of(path: Path, page: int) -> str:
    with path.open("rb") as file:
        file.seek(page * PAGE + (100 if page == 0 else 0))
        return KINDS.get(file.read(1)[0], "other")


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_nothing_is_done_to_a_log_that_is_whole_but_what_is_derived_is_made_anew(
    made: Made, fresh: Fresh, how: str
) -> None:
    data = fresh(made.data if how == "killed" else made.closed)
    before = (data / DATABASE).read_bytes()
    report = mended(data, made.middle)
    assert (report.outcome, report.missing, report.damaged) == ("whole", [], [])
    assert (data / DATABASE).read_bytes() == before
    assert not (data / "index.db").exists()
    assert "index.db" in kept(data)
    assert stored(data) == made.rows


@pytest.mark.parametrize("length", [PAGE, 512])
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_whichever_page_is_blank_a_backup_of_the_end_makes_the_log_what_it_was(
    made: Made, fresh: Fresh, how: str, length: int
) -> None:
    source = made.data if how == "killed" else made.closed
    seen = set[str]()
    for page in range(pages_of(source / DATABASE)):
        seen.add(kind_of(source / DATABASE, page))
        data = fresh(source)
        blank(data / DATABASE, page, length)
        report = mended(data, made.newest)
        assert (report.missing, report.loose) == ([], []), page
        assert stored(data) == made.rows, page
        assert broken(data) == [], page
        assert {path.name for path in data.iterdir()}.isdisjoint({WAL, "index.db"}), page
    assert {"leaf", "inner page", "leaf of an index", "other"} <= seen


@pytest.mark.parametrize("backups", ["none", "of the middle"])
def test_whichever_page_is_blank_what_is_missing_is_listed_and_nothing_else_is_changed(
    made: Made, fresh: Fresh, backups: str
) -> None:
    some = [made.middle] if backups == "of the middle" else []
    lost = 0
    for page in range(pages_of(made.closed / DATABASE)):
        data = fresh(made.closed)
        blank(data / DATABASE, page)
        before = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()}
        report = mended(data, *some)
        if report.missing:
            assert report.outcome == "lost"
            after = {name: (data / name).read_bytes() for name in before if "-" not in name}
            assert after.items() <= before.items()
            report = mended(data, *some, accept_loss=True)
        gone = missing(report)
        lost += len(gone)
        assert all(seq > MIDDLE for seq in gone) or not some, page
        assert stored(data) == [row for row in made.rows if row[0] not in gone], page
        assert broken(data) == [], page
        assert [seq for seq in range(1, ROWS + 1) if seq in losses(data)] == gone, page
    assert lost > 0


def test_a_page_that_is_lost_costs_no_row_of_another_one(made: Made, fresh: Fresh) -> None:
    """Of a leaf only: what leads to leaves is not needed to find them."""
    for page in range(1, pages_of(made.closed / DATABASE)):
        if kind_of(made.closed / DATABASE, page) == "inner page":
            data = fresh(made.closed)
            blank(data / DATABASE, page)
            report = mended(data)
            assert (report.outcome, report.missing) == ("mended", []), page
            assert stored(data) == made.rows


CHANGES = {
    "user": "user_id = 'user-8x'",
    "key": "event_id = NULL",
    "at": "at = at + 1",
    "body": "body = '{\"n\":4}'",
    "body that is no UTF-8": "body = CAST(x'7bff7d' AS TEXT)",
    "body that is gone": "body = NULL",
    "personal fields": 'personal = \'{"ip_address":"::2"}\'',
    "link": "chain = zeroblob(16) || substr(chain, 17)",
    "checksum": "chain = substr(chain, 1, 16) || zeroblob(8)",
    "nothing behind the row": "chain = NULL",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_row_that_is_not_as_it_was_written_is_taken_from_a_backup(
    made: Made, fresh: Fresh, change: str
) -> None:
    data = fresh(made.closed)
    script = f"UPDATE log SET {CHANGES[change]} WHERE seq IN (201, 210)"
    if change == "body that is gone":
        script = f"PRAGMA ignore_check_constraints = ON; {script.replace('NULL', '7')}"
    edit(data, script)
    report = mended(data, made.middle)
    assert (report.outcome, report.missing) == ("mended", [])
    assert report.taken[str(made.middle)] == 2
    assert stored(data) == made.rows
    assert broken(data) == []


def test_a_checksum_that_is_cut_off_is_made_anew_since_the_chain_proves_the_row(
    made: Made, fresh: Fresh
) -> None:
    data = fresh(made.closed)
    edit(data, "UPDATE log SET chain = substr(chain, 1, 16) WHERE seq = 201")
    assert mended(data).outcome == "mended"
    assert stored(data) == made.rows


def test_of_a_lost_row_user_key_and_day_are_said_if_its_first_part_is_whole(
    made: Made, fresh: Fresh
) -> None:
    data = fresh(made.closed)
    edit(data, "UPDATE log SET body = '{}' WHERE seq = 310; DELETE FROM log WHERE seq = 330;")
    report = mended(data)
    torn, gone = report.missing
    assert (torn.first, torn.last, torn.users, torn.keys) == (310, 310, ["user-4"], ["k310"])
    assert (gone.first, gone.last, gone.users, gone.unknown) == (330, 330, [], 1)
    assert (torn.since or "")[:10] == "2023-11-14"
    partition = usage(330).partition
    assert partition in gone.partitions
    assert len(gone.partitions) > 1, "those of whom no later row says that they lost none"
    assert usage(334).partition not in gone.partitions, "which has a later row that fits"
    said = "\n".join(lines(report))
    assert "row 310" in said
    assert "user-4; keys k310" in said
    assert "nothing was changed" in said


# The WAL


def damaged_wal(data: Path, how: str) -> None:
    wal = data / WAL
    content = bytearray(wal.read_bytes())
    if how == "gone":
        wal.unlink()
    elif how == "cut":
        wal.write_bytes(content[: len(content) // 2])
    else:
        frame = 32 + (len(content) - 32) // (PAGE + 24) // 2 * (PAGE + 24)
        content[frame + 30] ^= 1
        wal.write_bytes(content)


@pytest.mark.parametrize("how", ["gone", "cut", "flipped"])
def test_a_log_whose_wal_has_lost_its_end_goes_on_from_a_backup_that_has_more(
    made: Made, fresh: Fresh, how: str
) -> None:
    data = fresh(made.data)
    damaged_wal(data, how)
    if how != "flipped":  # behind the frame that is damaged the others are whole
        report = mended(data)
        assert report.outcome == "lost"
        assert missing(report)[-1] == ROWS
    report = mended(data, made.newest)
    assert (report.outcome, report.missing) == ("mended", [])
    assert without_personal(stored(data)) == without_personal(made.rows)
    # Who was forgotten once may have been forgotten again, for all that is left to tell.
    assert report.without_personal == (how == "gone")
    assert [row for row in stored(data) if row[2] != FORGOTTEN] == [
        row for row in made.rows if row[2] != FORGOTTEN
    ]
    assert broken(data) == []
    assert marked(data) == ROWS


def without_personal(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(*row[:8], row[10]) for row in rows]


def test_behind_a_damaged_frame_of_the_wal_rows_are_found(made: Made, fresh: Fresh) -> None:
    data = fresh(made.data)
    damaged_wal(data, "flipped")
    report = mended(data, accept_loss=True)
    assert report.taken[f"{DATABASE}, page by page"] > 0
    assert stored(data) == [row for row in made.rows if row[0] not in missing(report)]


async def test_positions_of_a_lost_end_are_given_to_no_other_row(made: Made, fresh: Fresh) -> None:
    data = fresh(made.data)
    damaged_wal(data, "gone")
    report = mended(data, accept_loss=True)
    first = report.missing[0].first
    assert (report.missing[0].last, report.last) == (ROWS, first - 1)
    journal = await SQLiteJournal.open(data, FORM)
    assert await journal.last_seq() == ROWS
    row = make_row(ROWS + 1, "user-1", key="new")
    await journal.append([row])
    assert await journal.rows(first - 2, 2) == [_row(made.rows[first - 2]), row]
    assert await journal.published() == 200, "what was published later is in the WAL that is gone"
    await journal.close()
    assert broken(data) == []
    again = mended(data, made.newest)  # which has rows that the new one does not build on
    assert again.missing == []
    assert stored(data)[-1][0] == ROWS + 1
    assert broken(data) == []


def _row(found: tuple[Any, ...]) -> Row:
    return Row._make((*found[:6], bool(found[6]), *found[7:9]))


# Other logs


async def other_log(where: Path, rows: int) -> Path:
    """A backup of a log with the same users and other rows."""
    journal = await SQLiteJournal.open(where, FORM)
    await journal.append([usage(seq)._replace(body='{"other":1}') for seq in range(1, rows + 1)])
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
    fork = tmp_path / "fork"
    fork.mkdir()
    shutil.copy(made.middle, fork / DATABASE)
    shutil.copytree(made.closed / ARCHIVE, fork / ARCHIVE)
    journal = await SQLiteJournal.open(fork, FORM)
    await journal.append([usage(seq) for seq in range(MIDDLE + 1, 401)])
    await journal.close()
    data = fresh(made.closed)
    edit(data, "UPDATE log SET body = '{}' WHERE seq = 12")
    with pytest.raises(Refused, match=rf"fork.* is of another log than .*row {MIDDLE + 1} "):
        mended(data, fork / DATABASE)


async def test_rows_of_a_fork_on_which_later_ones_do_not_build_are_left_out(
    made: Made, fresh: Fresh, tmp_path: Path
) -> None:
    """The fork ends within the gap, so that no row of it is another one of the log's."""
    fork = tmp_path / "fork"
    fork.mkdir()
    shutil.copy(made.middle, fork / DATABASE)
    shutil.copytree(made.closed / ARCHIVE, fork / ARCHIVE)
    journal = await SQLiteJournal.open(fork, FORM)
    await journal.append([usage(seq) for seq in range(MIDDLE + 1, MIDDLE + 20)])
    await journal.close()
    data = fresh(made.closed)
    edit(data, f"DELETE FROM log WHERE seq > {MIDDLE} AND seq < {MIDDLE + 20}")
    wiped = (data / DATABASE).read_bytes()
    (data / DATABASE).write_bytes(wiped)
    with closing(sqlite3.connect(data / DATABASE)) as db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("VACUUM")  # so that no page has them any more
    report = mended(data, fork / DATABASE, accept_loss=True)
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


# What stands beside the rows


def test_a_body_of_an_archive_that_is_damaged_or_gone_is_taken_from_a_backup(
    made: Made, fresh: Fresh, tmp_path: Path
) -> None:
    early = tmp_path / "early.db"
    data = fresh(made.closed)
    with closing(sqlite3.connect(made.middle)) as source, closing(sqlite3.connect(early)) as copy:
        source.backup(copy)
    (file,) = (data / ARCHIVE).iterdir()
    bodies = {usage(seq).seq: usage(seq).body for seq in range(1, ARCHIVED + 1)}
    with closing(sqlite3.connect(early)) as db:
        db.executescript("DROP TRIGGER log_is_never_changed")
        db.executemany("UPDATE log SET body = ? WHERE seq = ?", [(b, s) for s, b in bodies.items()])
        db.commit()
    file.unlink()
    report = mended(data, early)
    assert (report.outcome, report.missing) == ("mended", [])
    assert {row[0]: row[7] for row in stored(data)[:ARCHIVED]} == bodies
    assert broken(data) == []


@pytest.mark.parametrize("backups", ["none", "one"])
async def test_what_the_log_keeps_of_its_archives_is_made_anew(
    made: Made, fresh: Fresh, backups: str
) -> None:
    data = fresh(made.closed)
    edit(data, "UPDATE archives SET blocks = '[]'")
    report = mended(data, *([made.middle] if backups == "one" else []))
    assert report.outcome == "mended"
    assert stored(data) == made.rows
    journal = await SQLiteJournal.open(data, FORM)
    assert await journal.rows(0, 3) == [
        usage(seq)._replace(personal=_personal(made, seq)) for seq in range(1, 4)
    ]
    await journal.close()


def _personal(made: Made, seq: int) -> str | None:
    return _row(made.rows[seq - 1]).personal


async def test_a_service_starts_on_what_was_mended_and_finds_all_users_and_keys(
    made: Made, fresh: Fresh
) -> None:
    data = fresh(made.data)
    blank_what_matters(data)
    assert mended(data, made.middle, accept_loss=True).outcome == "mended"
    journal = await SQLiteJournal.open(data, FORM)
    assert await journal.users("", 99) == [f"user-{n}" for n in range(9)]
    there = [row[0] for row in stored(data)]
    for seq in there[::31]:
        found = await journal.find(f"user-{seq % 9}", f"k{seq}")
        assert found is not None
        assert found.seq == seq
    snapshot = await journal.snapshot("user-1")
    assert snapshot is not None
    assert snapshot.seq >= ROWS - 1
    await journal.append([make_row(ROWS + 1, "user-1")])
    await journal.close()
    assert broken(data) == []


def test_notes_of_links_positions_and_snapshots_that_are_damaged_are_made_anew(
    made: Made, fresh: Fresh
) -> None:
    data = fresh(made.closed)
    edit(
        data,
        "UPDATE heads SET links = zeroblob(9); UPDATE position SET seq = seq + 1;"
        " UPDATE snapshots SET seq = 'x' WHERE user_id = 'user-4';",
    )
    report = mended(data, made.middle)
    assert report.outcome == "mended"
    assert len(report.damaged) >= 3
    assert stored(data) == made.rows
    assert broken(data) == []
    with closing(sqlite3.connect(data / DATABASE)) as db:
        positions = dict(db.execute("SELECT name, seq FROM position"))
        assert positions["published"] == 200, "what the backup knew"
        assert positions["archived"] == ARCHIVED
        assert positions["unchecked"] == 0
        query = "SELECT seq FROM snapshots WHERE user_id = 'user-4'"
        assert db.execute(query).fetchall() == [(104,)]


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


@pytest.mark.parametrize("how", ["text", "missing", "foreign"])
def test_a_backup_that_is_of_no_use_is_refused_in_a_line(
    made: Made, fresh: Fresh, tmp_path: Path, how: str
) -> None:
    data, copy = fresh(made.closed), tmp_path / "copy.db"
    if how == "foreign":
        with closing(sqlite3.connect(copy)) as db:
            db.execute("CREATE TABLE x (y)")
    elif how == "text":
        copy.write_text("once upon a time " * 999)
    if how == "text":  # it may be a copy with a damaged first page: nothing of it is taken
        assert mended(data, copy).outcome == "whole"
        return
    with pytest.raises(Refused) as refused:
        mended(data, copy)
    assert "\n" not in str(refused.value)


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


def test_a_dry_run_says_the_same_and_changes_nothing(made: Made, fresh: Fresh) -> None:
    data = fresh(made.closed)
    blank(data / DATABASE, 1)
    before = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()}
    said = mended(data, made.middle, dry_run=True)
    after = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()}
    assert {name: after[name] for name in before if name != "meterd.lock"}.items() <= before.items()
    assert {*after} - {*before} <= {f"{DATABASE}-shm", WAL}
    done = mended(data, made.middle)
    assert said._replace(dry_run=False, kept_in=done.kept_in) == done


def test_what_was_accepted_once_is_not_asked_for_again_and_a_backup_may_still_fill_it(
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
    report = mended(data, made.newest)
    assert report.outcome == "mended"
    assert losses(data).all == []
    assert stored(data) == made.rows


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
