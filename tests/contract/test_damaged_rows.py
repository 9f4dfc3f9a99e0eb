"""Rows of the log that are not as they were written, or not where they have to be."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from messages.stored.form import FORM
from persistence.errors import Damaged, Refused
from persistence.key_filter import KeyFilter
from persistence.records import Ended, Row
from persistence.sqlite.backup import back_up
from persistence.sqlite.checked import checked
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.heads import newest_heads
from persistence.sqlite.insert import HEADS_EVERY
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row, make_snapshot

ALL = 1_000
IP = '{"ip_address":"::1"}'
TRIGGERS = "DROP TRIGGER log_is_never_changed; DROP TRIGGER log_is_never_removed;"
CHANGES = {
    "partition": "partition = partition + 1",
    "user": "user_id = 'alicf'",
    "user of another type": "user_id = 7",
    "key": "event_id = 'k30'",
    "key that is gone": "event_id = NULL",
    "kind": "kind = 'usagd'",
    "key as bytes": "event_id = CAST(event_id AS BLOB)",
    "kind as bytes": "kind = CAST(kind AS BLOB)",
    "at": "at = at + 1",
    "notify": "notify = 1 - notify",
    "body": "body = '{\"n\":4}'",
    "body of another type": "body = 4",
    "body that is no UTF-8": "body = CAST(x'7bff7d' AS TEXT)",
    "body that is gone": "body = ''",
    "personal fields": 'personal = \'{"ip_address":"::2"}\'',
    "personal fields that are gone": "personal = NULL",
    "proof": "proof = zeroblob(16)",
    "link": "chain = zeroblob(16) || substr(chain, 17)",
    "checksum": "chain = substr(chain, 1, 16) || zeroblob(8)",
    "no checksum": "chain = substr(chain, 1, 16)",
    "nothing behind the row": "chain = NULL",
}

UNREAD = frozenset({"partition", "user", "user of another type"})
"""A load does not read these: the index says whose row it is, and the checksum that this is so."""
CASES = [(seq, change) for seq in (3, 6) for change in CHANGES]
CASES.remove((6, "personal fields that are gone"))  # it never had any


def rows() -> list[Row]:
    """Rows of alice, bob and eve in turn; of the third one more is said than of others."""
    names = ("alice", "bob", "eve")
    return [
        make_row(n, names[n % 3], key=f"k{n}", body=f'{{"n":{n}}}', personal=IP if n == 3 else None)
        for n in range(1, 13)
    ]


def edit(outside: sqlite3.Connection, change: str) -> None:
    outside.executescript(f"{TRIGGERS} {change}")


@pytest.fixture
async def filled(sqlite_journal: SQLiteJournal) -> SQLiteJournal:
    await sqlite_journal.append(rows())
    return sqlite_journal


def needs(journal: SQLiteJournal, seq: int) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Reads that need a row of alice's: the third one, or the sixth."""
    return {
        "rows": lambda: journal.rows(0, ALL),
        "rows alone": lambda: journal.rows(seq - 1, 1),
        "history": lambda: journal.history("alice", 0, ALL),
        "newest": lambda: journal.newest("alice", 99, ALL),
        "find": lambda: journal.find("alice", f"k{seq}"),
        "find_all": lambda: journal.find_all("alice", ["k9", f"k{seq}"]),
        "load": lambda: journal.load(["bob", "alice"], ALL),
    }


@pytest.mark.parametrize(("seq", "change"), CASES)
async def test_whatever_of_a_row_is_damaged_is_found_wherever_it_is_read(
    filled: SQLiteJournal, outside: sqlite3.Connection, seq: int, change: str
) -> None:
    edit(outside, f"UPDATE log SET {CHANGES[change]} WHERE seq = {seq}")
    for name, read in needs(filled, seq).items():
        if name == "load" and change in UNREAD:
            continue
        with pytest.raises(Damaged) as caught:
            await read()
        assert (caught.value.file, caught.value.first) == (DATABASE, seq), name
        assert f"row {seq} of meterd.db" in str(caught.value)


async def test_a_row_that_is_gone_is_damage(
    filled: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    edit(outside, "DELETE FROM log WHERE seq = 3")
    for name, read in needs(filled, 3).items():
        with pytest.raises(Damaged) as caught:
            await read()
        assert caught.value.first == 3, name


async def test_the_newest_row_that_is_gone_is_damage(
    filled: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    edit(outside, "DELETE FROM log WHERE seq = 12")
    with pytest.raises(Damaged, match=r"row 12 of meterd\.db"):
        await filled.rows(0, ALL)


@pytest.mark.parametrize("bodies", [True, False])
async def test_of_a_range_that_is_read_as_a_whole_no_row_is_missed(
    filled: SQLiteJournal, outside: sqlite3.Connection, bodies: bool
) -> None:
    stored = filled._stored
    assert [row.seq for row in stored.between(outside, 2, 12, bodies=bodies)] == [*range(3, 13)]
    edit(outside, "DELETE FROM log WHERE seq = 5")
    with pytest.raises(Damaged, match=r"row 5 of meterd\.db"):
        stored.between(outside, 2, 12, bodies=bodies)
    outside.execute("DELETE FROM log WHERE seq = 12")
    with pytest.raises(Damaged, match=r"row 12 of meterd\.db"):
        stored.between(outside, 5, 12, bodies=bodies)


async def test_two_rows_that_changed_places_are_both_damaged(
    filled: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    edit(
        outside,
        "UPDATE log SET seq = 99 WHERE seq = 3; UPDATE log SET seq = 3 WHERE seq = 6;"
        "UPDATE log SET seq = 6 WHERE seq = 99;",
    )
    for position in (3, 6):
        with pytest.raises(Damaged, match=f"row {position} of"):
            await filled.rows(position - 1, 1)


async def test_other_users_go_on(filled: SQLiteJournal, outside: sqlite3.Connection) -> None:
    edit(outside, "UPDATE log SET body = '[]' WHERE seq = 3")
    whole = rows()
    assert await filled.history("bob", 0, ALL) == [row for row in whole if row.user == "bob"]
    assert await filled.find("eve", "k2") == whole[1]
    assert await filled.rows(3, ALL) == whole[3:]
    more = make_row(13, "alice", key="k13")
    await filled.append([more])
    assert await filled.find("alice", "k13") == more
    snapshot = make_snapshot("alice", 13)
    await filled.append([make_row(14, "alice")], [snapshot])
    assert (await filled.load(["alice"], ALL))["alice"].snapshot == snapshot


async def test_erased_fields_and_archived_bodies_are_no_damage(
    filled: SQLiteJournal,
) -> None:
    assert await filled.erase("alice") == 1
    await filled.append([], [make_snapshot(name, 12) for name in ("alice", "bob", "eve")])
    assert await filled.archive(9) == 9
    found = await filled.rows(0, ALL)
    assert [row._replace(personal=None) for row in found] == [
        row._replace(personal=None) for row in rows()
    ]
    assert found[2].personal == "{}"


async def test_an_archived_row_whose_archive_the_log_does_not_know_any_more_is_damage(
    filled: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    await filled.append([], [make_snapshot(name, 12) for name in ("alice", "bob", "eve")])
    await filled.archive(9)
    outside.execute("DELETE FROM archives")
    with pytest.raises(Damaged, match=r"row 3 of meterd\.db"):
        await filled.find("alice", "k3")


@pytest.mark.parametrize("before", ["substr(chain, 1, 16)", "NULL"])
async def test_rows_of_before_checksums_are_read_as_they_are(
    directory: Path, filled: SQLiteJournal, outside: sqlite3.Connection, before: str
) -> None:
    edit(outside, f"UPDATE log SET chain = {before} WHERE seq <= 6")
    with pytest.raises(Damaged, match=r"row 1 of meterd\.db"):
        await filled.rows(0, ALL)
    outside.execute("UPDATE position SET seq = 6, checksum = NULL WHERE name = 'unchecked'")
    await filled.close()
    journal = await SQLiteJournal.open(directory, FORM)
    try:
        assert await journal.rows(0, ALL) == rows()
        assert (await journal.load(["alice"], ALL))["alice"].tail[0][0] == 3
    finally:
        await journal.close()


async def test_if_nobody_can_tell_the_key_of_a_row_no_key_is_surely_new(
    filled: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    edit(outside, "UPDATE log SET body = '[]' WHERE seq = 3")
    keys = KeyFilter()
    await filled.load_keys(keys)  # the key is known, whatever the body is
    assert keys.surely_new("alice", "new")
    assert not keys.surely_new("alice", "k3")
    outside.execute("UPDATE log SET event_id = 'k30' WHERE seq = 3")
    keys = KeyFilter()
    with capture_logs() as lines:
        await filled.load_keys(keys)
    assert [(line["event"], line["place"]) for line in lines] == [("damaged", "row 3")]
    assert not keys.surely_new("alice", "new")
    assert not keys.claim("alice", "new")
    assert not keys.surely_new("eve", "k2")


async def test_links_that_are_stored_by_themselves_are_used_only_if_they_are_whole(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    for first in range(1, 2 * HEADS_EVERY, HEADS_EVERY):
        await sqlite_journal.append([make_row(first + n, f"u{n % 9}") for n in range(HEADS_EVERY)])
    whole = newest_heads(outside, 0)
    assert outside.execute("SELECT count(*) FROM heads").fetchone() == (3,)
    newest = "(SELECT max(seq) FROM heads)"
    outside.execute(f"UPDATE heads SET links = zeroblob(1028) WHERE seq = {newest}")
    assert newest_heads(outside, 0) == whole
    outside.execute("UPDATE heads SET links = zeroblob(1028)")
    with pytest.raises(Damaged, match="the log's own notes of its newest links"):
        newest_heads(outside, 0)


async def test_a_position_that_is_damaged_begins_anew_and_one_that_the_log_needs_is_refused(
    directory: Path, filled: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    await filled.mark_published(9)
    await filled.mark_dealt_with(9)
    assert (await filled.published(), await filled.dealt_with()) == (9, 9)
    outside.execute("UPDATE position SET seq = 11")
    with capture_logs() as lines:
        assert (await filled.published(), await filled.dealt_with()) == (0, 0)
    assert [(line["event"], line["log_level"]) for line in lines] == [("damaged", "error")] * 2
    outside.execute("DELETE FROM position WHERE name = 'unchecked'")
    await filled.close()
    with pytest.raises(Refused, match=r"the position 'unchecked' of meterd\.db"):
        await SQLiteJournal.open(directory, FORM)


async def test_rows_are_stored_if_the_table_of_snapshots_is_damaged(
    directory: Path, filled: SQLiteJournal
) -> None:
    await filled.append([], [make_snapshot("alice", 12)])
    await filled.close()
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        ((root,),) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'snapshots'")
        (size,) = db.execute("PRAGMA page_size").fetchone()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (directory / DATABASE).open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(bytes(size))
    journal = await SQLiteJournal.open(directory, FORM)
    try:
        with capture_logs() as lines:
            await journal.append([make_row(13)], [make_snapshot("bob", 13)])
            await journal.append([make_row(14)], [make_snapshot("eve", 14)])
        assert [line["event"] for line in lines] == ["damaged"]
        assert (await journal.rows(12, ALL)) == [make_row(13), make_row(14)]
    finally:
        await journal.close()


async def test_a_damaged_log_gives_no_copy(
    directory: Path, filled: SQLiteJournal, outside: sqlite3.Connection, tmp_path: Path
) -> None:
    back_up(directory, tmp_path / "whole.db")
    edit(outside, "UPDATE log SET body = '[]' WHERE seq = 3")
    with pytest.raises(Refused, match="row 3 is not as it was written"):
        back_up(directory, tmp_path / "damaged.db")
    assert not (tmp_path / "damaged.db").exists()


async def test_periods_of_others_are_closed_if_the_row_that_opened_one_is_damaged(
    sqlite_journal: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    opened = [
        make_row(n, f"u{n}", kind="period_rolled", body=f'{{"key":"k","start":1,"end":{n}}}')
        for n in range(1, 100)
    ]
    used = [make_row(n, f"u{n - 100}") for n in range(101, 200)]
    await sqlite_journal.append([*opened, make_row(100, "eve"), *used])
    edit(outside, "UPDATE log SET body = '[]' WHERE seq = 7")
    with capture_logs() as lines:
        page = await sqlite_journal.ended(Ended(0, 0, ""), 10**6, ALL)
    assert [one.user for one in page.found] == [f"u{n}" for n in range(1, 100) if n != 7]
    assert [(line["event"], line["place"]) for line in lines] == [("damaged", "row 7")]


@pytest.mark.parametrize("change", [*CHANGES, "removed"])
async def test_a_damaged_row_hides_no_marked_one_and_is_counted_if_it_may_be_one(
    filled: SQLiteJournal, outside: sqlite3.Connection, change: str
) -> None:
    do = "DELETE FROM log" if change == "removed" else f"UPDATE log SET {CHANGES[change]}"
    edit(outside, f"{do} WHERE seq = 3")
    with capture_logs() as lines:
        found = await filled.marked("usage", ['"n":'], 0, 12)
    assert [row for row in rows() if row.seq != 3] == found.rows
    unseen = {"removed", "kind", "kind as bytes", "body of another type", "body that is no UTF-8"}
    assert found.unread == (change not in unseen)  # what is no such row by what it says
    places = [(line["event"], line["place"]) for line in lines]
    assert places == [("damaged", "row 3")] * found.unread
    assert found.latest == rows()[-1].at


async def test_a_page_that_cannot_be_read_hides_no_marked_row_of_another(
    directory: Path, sqlite_journal: SQLiteJournal, outside: sqlite3.Connection
) -> None:
    written = [make_row(n, body=f'{{"n":{n},"x":"{"x" * 300}"}}') for n in range(1, 201)]
    await sqlite_journal.append(written)
    outside.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ((size,),) = outside.execute("PRAGMA page_size")
    file = directory / DATABASE
    content = file.read_bytes()
    begin = content.index(b'{"n":100,') // size * size
    file.write_bytes(content[:begin] + b"\xff" * size + content[begin + size :])
    with capture_logs() as lines:
        found = await sqlite_journal.marked("usage", ['"n":'], 0, 200)
    assert {line["event"] for line in lines} == {"damaged"}
    assert 2 < found.unread < 40
    assert len(found.rows) == 200 - found.unread
    assert {*found.rows} < {*written}


def test_a_row_that_sqlite_makes_of_a_blank_cell_is_none_of_before_checksums() -> None:
    blank: Any = (0, *(None,) * 10)
    with pytest.raises(Damaged):
        checked([blank], 400)
