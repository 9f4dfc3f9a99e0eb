"""A file of an archive that is gone, or not as it was written."""

# ruff: noqa: ASYNC240 -- nothing else runs on the loop of these tests

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from msgspec.json import encode

from persistence.archive.entries import ArchiveEntry, checksum_of, name_of
from persistence.archive.files import DIRECTORY, Writing
from persistence.archive.lookup import Archives
from persistence.errors import ArchiveDamaged, ArchiveGone, ArchiveUnreadable, Damaged
from persistence.records import Loaded, Marked
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.journal import SQLiteJournal
from tests.support.archives import ALL, files_of, usage
from tests.support.rows import make_row, make_snapshot


@pytest.fixture
async def archived(sqlite_journal: SQLiteJournal, directory: Path) -> Path:
    """The file of the older half of 400 rows."""
    await sqlite_journal.append(usage(400), [make_snapshot(f"user-{n}", 201) for n in range(3)])
    await sqlite_journal.archive(200)
    return files_of(directory)[0]


async def test_if_a_file_is_gone_only_reads_that_need_it_fail_and_name_it(
    sqlite_journal: SQLiteJournal, archived: Path
) -> None:
    rows = usage(400)
    moved = archived.with_name("moved")
    archived.rename(moved)

    needs: list[Callable[[], Any]] = [
        lambda: sqlite_journal.find("user-1", "k1"),
        lambda: sqlite_journal.rows(199, 2),
        lambda: sqlite_journal.history("user-1", 0, 1),
        lambda: sqlite_journal.newest("user-1", 200, 1),
        lambda: sqlite_journal.rows(0, ALL),
    ]
    for read in needs:
        with pytest.raises(ArchiveGone, match=r"the archive 1-200\.jsonl\.gz is not there"):
            await read()
    assert await sqlite_journal.find("user-0", "k201") == rows[200]
    assert await sqlite_journal.rows(200, ALL) == rows[200:]
    newest = [row for row in rows[::-1] if row.user == "user-1"][:50]
    assert await sqlite_journal.newest("user-1", 401, 50) == newest
    users = ["user-0", "user-1", "user-2"]
    loaded = await sqlite_journal.load(users, ALL)
    assert sorted(entry[0] for found in loaded.values() for entry in found.tail) == [
        *range(202, 401)
    ]
    await sqlite_journal.append([make_row(401)])

    moved.rename(archived)
    assert await sqlite_journal.rows(0, 400) == rows


async def test_a_user_without_a_snapshot_cannot_be_loaded_without_the_file(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection, archived: Path
) -> None:
    outside.execute("DELETE FROM snapshots WHERE user_id = 'user-1'")
    loaded = await sqlite_journal.load(["user-1"], ALL)
    assert loaded["user-1"] == Loaded(
        None, [(row.seq, row.kind, row.at, row.body) for row in usage(400) if row.seq % 3 == 1]
    )
    archived.unlink()
    with pytest.raises(ArchiveGone, match="1-200"):
        await sqlite_journal.load(["user-0", "user-1"], ALL)
    assert len((await sqlite_journal.load(["user-0"], ALL))["user-0"].tail) == 66


@pytest.mark.parametrize("at", [0, 9, 60, -1])
async def test_a_changed_byte_is_found_when_its_block_is_read(
    sqlite_journal: SQLiteJournal, archived: Path, at: int
) -> None:
    content = bytearray(archived.read_bytes())
    content[at] ^= 1
    archived.write_bytes(content)
    seq = 200 if at < 0 else 1
    with pytest.raises(ArchiveDamaged, match=r"1-200\.jsonl\.gz is not as it was written"):
        await sqlite_journal.rows(seq - 1, 1)
    await sqlite_journal.rows(200 - seq, 1)  # the other block


async def test_a_file_that_is_there_but_cannot_be_read_is_no_file_that_is_gone(
    sqlite_journal: SQLiteJournal, directory: Path, archived: Path
) -> None:
    archived.unlink()
    archived.mkdir()
    with pytest.raises(ArchiveUnreadable, match=r"1-200\.jsonl\.gz cannot be read: Is a directory"):
        await sqlite_journal.rows(0, 1)
    with Inspection.open(directory) as log:
        assert sum(not written.whole for written in log.written()) == 200
        assert not log.gone
        assert list(log.damaged) == ["the archive 1-200.jsonl.gz cannot be read: Is a directory"]


OTHER = b"no gzip"
DIGEST = blake2b(OTHER, digest_size=16).hexdigest()


@pytest.mark.parametrize(
    "blocks",
    ["", "[]", "{}", b"\0", '[[1,0,-2,""]]', f'[[1,0,{len(OTHER)},"{DIGEST}"]]'],
    ids=["nothing", "no block", "no list", "no text", "no length", "no gzip"],
)
async def test_the_entry_about_a_file_in_the_log_may_be_damaged_too(
    sqlite_journal: SQLiteJournal,
    directory: Path,
    outside: sqlite3.Connection,
    archived: Path,
    blocks: object,
) -> None:
    outside.execute("UPDATE archives SET blocks = ?, checksum = NULL", (blocks,))
    archived.write_bytes(OTHER)
    with pytest.raises(ArchiveDamaged):
        await sqlite_journal.rows(0, 1)
    with Inspection.open(directory) as log:
        assert sum(not written.whole for written in log.written()) == 200
        assert log.damaged
    outside.execute("UPDATE position SET seq = 0, checksum = NULL WHERE name = 'archived'")
    with pytest.raises(ArchiveDamaged):  # and it does not begin again and again
        await sqlite_journal.archive(200)


@pytest.mark.parametrize(
    "change", ["name = '1-200.jsonl.gr'", "first = 2", "blocks = replace(blocks, '[1,0', '[1,1')"]
)
async def test_an_entry_about_a_file_that_is_not_as_it_was_written_is_no_file_that_is_gone(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection, archived: Path, change: str
) -> None:
    outside.execute(f"UPDATE archives SET {change}")
    with pytest.raises(Damaged, match=r"the table archives of meterd\.db is not as") as caught:
        await sqlite_journal.find("user-1", "k1")
    assert (caught.value.first, caught.value.last) == (None, None)  # what it says may be any
    assert await sqlite_journal.rows(200, ALL) == usage(400)[200:]


@pytest.mark.parametrize("how", ["gone", "a changed byte", "its entry"])
async def test_marked_rows_of_a_file_that_cannot_be_read_are_counted_and_hide_no_other(
    sqlite_journal: SQLiteJournal, archived: Path, directory: Path, how: str
) -> None:
    rows = usage(400)
    marks = [f'"n":{tens}' for tens in range(10, 40)]  # of two digits, or three
    wanted = [row for row in rows if any(mark in row.body for mark in marks)]
    found = await sqlite_journal.marked("usage", marks, 0, 400)
    assert found == Marked(wanted, 0, rows[-1].at)
    if how == "gone":
        archived.unlink()
    elif how == "a changed byte":  # of the second block, which begins with row 129
        content = bytearray(archived.read_bytes())
        content[-20] ^= 1
        archived.write_bytes(content)
    else:
        with closing(sqlite3.connect(directory / "meterd.db")) as db, db:
            db.execute("UPDATE archives SET name = '1-300.jsonl.gz'")
    first = 129 if how == "a changed byte" else 1
    found = await sqlite_journal.marked("usage", marks, 0, 400)
    assert found.rows == [row for row in wanted if not first <= row.seq <= 200]
    assert found.unread == 201 - first


def test_a_block_that_lacks_a_row_or_is_damaged_takes_no_other_along(tmp_path: Path) -> None:
    rows = usage(400)
    writing = Writing(tmp_path / DIRECTORY, name_of(1, 400))
    writing.add(row for row in rows if row.seq != 7)
    writing.finish()
    writing.close()
    blocks = writing.blocks
    file = tmp_path / DIRECTORY / name_of(1, 400)
    content = bytearray(file.read_bytes())
    content[blocks[1].offset + 40] ^= 1
    file.write_bytes(content)
    entry = ArchiveEntry(1, 400, file.name, encode(blocks).decode())
    lost: list[list[int]] = []
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE archives (first, last, name, blocks, checksum)")
        db.execute("INSERT INTO archives VALUES (?, ?, ?, ?, ?)", (*entry, checksum_of(entry)))
        found = Archives(tmp_path).bodies(db, range(1, 401), lambda *one: lost.append([*one[2]]))
    whole = [*range(blocks[1].first, blocks[2].first)]
    assert lost == [[7], whole]
    gone = {7, *whole}
    assert found == {row.seq: row.body for row in rows if row.seq not in gone}
