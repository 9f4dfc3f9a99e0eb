"""A damaged log is made whole again out of itself and its backups, or what is missing is listed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from messages.stored.form import FORM
from persistence.archive.files import DIRECTORY as ARCHIVE
from persistence.records import Row
from persistence.sqlite.high_water_mark import marked
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.mending.report import lines
from tests.support.data import edit
from tests.support.mending import (
    ARCHIVED,
    DATABASE,
    FORGOTTEN,
    MIDDLE,
    PAGE,
    ROWS,
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
from tests.support.rows import make_row

WAL = f"{DATABASE}-wal"


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
    assert report.loose == [], "the row behind builds on the link that is left of a torn one"
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
    assert marked(data).seq == ROWS


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
    before, lost = stored(data), losses(data).all
    edit(data, "UPDATE log SET body = '{}' WHERE seq = 201")
    again = mended(data, made.newest)
    assert (again.outcome, again.missing) == ("mended", [])
    assert again.stay_lost == ROWS - first + 1
    assert (stored(data), losses(data).all) == (before, lost)
    assert broken(data) == []


async def test_an_end_that_was_accepted_as_lost_stays_lost_if_nothing_was_written_since(
    made: Made, fresh: Fresh
) -> None:
    data = fresh(made.data)
    damaged_wal(data, "gone")
    mended(data, accept_loss=True)
    before, lost = stored(data), losses(data).all
    for backups in ([made.middle], [made.middle, made.newest]):
        edit(data, "UPDATE log SET body = '{}' WHERE seq = 201")
        again = mended(data, *backups)
        assert (again.outcome, again.missing) == ("mended", [])
        assert (stored(data), losses(data).all) == (before, lost)
        journal = await SQLiteJournal.open(data, FORM)
        assert await journal.last_seq() == ROWS, "its positions are given to no other row"
        await journal.close()


def _row(found: tuple[Any, ...]) -> Row:
    return Row._make((*found[:6], bool(found[6]), *found[7:9]))


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


def test_personal_fields_beside_a_body_that_is_in_an_archive_are_compared_with_it(
    made: Made, fresh: Fresh
) -> None:
    data = fresh(made.closed)
    edit(data, "UPDATE log SET personal = replace(personal, '10.20', '10/20') WHERE seq = 5")
    report = mended(data, made.middle)
    assert (report.outcome, report.taken[str(made.middle)]) == ("mended", 1)
    assert stored(data) == made.rows


def test_bodies_that_no_file_has_are_counted(made: Made, fresh: Fresh) -> None:
    data = fresh(made.closed)
    (file,) = (data / ARCHIVE).iterdir()
    file.unlink()
    report = mended(data)
    assert (report.outcome, report.missing) == ("whole", [])
    assert report.without_body == sum(not row[7] for row in made.rows) > 99
    assert "put the file back" in "\n".join(lines(report))


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
    report = mended(data, made.newest, made.middle)
    assert report.outcome == "mended"
    assert len(report.damaged) >= 3
    assert stored(data) == made.rows
    assert broken(data) == []
    with closing(sqlite3.connect(data / DATABASE)) as db:
        positions = dict(db.execute("SELECT name, seq FROM position"))
        assert positions["published"] == 200, "the lowest that a backup knew"
        assert positions["archived"] == ARCHIVED
        assert positions["unchecked"] == 0
        query = "SELECT seq FROM snapshots WHERE user_id = 'user-4'"
        assert db.execute(query).fetchall() == [(104,)]
