"""A damaged index says nothing wrong: of it, of the log, or that it is made anew just now."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from messages.stored.form import FORM
from persistence.errors import BeingMade
from persistence.journal import Journal
from persistence.memory import MemoryJournal
from persistence.records import Ended, Row
from persistence.sqlite import blocks, index_rebuild
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row

ALL = 1_000_000
LUMP = 60
Asks = Callable[[Journal], Awaitable[Any]]
USERS = ("", "alice", "bob", 'c"d', 'x,"bob', "é", "\U0001f600")


def compact(body: Any) -> str:
    return json.dumps(body, separators=(",", ":"))


def drawn(random_: random.Random, first: int, count: int) -> list[Row]:
    """Rows of all that the index has a section for."""
    rows = []
    for seq in range(first, first + count):
        user, key = random_.choice(USERS), random_.choice([None, f"k{seq}"])
        named = f"k{random_.randrange(1, seq + 1)}"
        period = f"p{random_.randrange(4)}"
        kind, body = random_.choice(
            [
                ("usage", {"p": "exa"}),
                ("usage", {"p": "exa"}),
                ("usage", {"hold_id": f"{named}.{seq}", "hs": "settled"}),
                ("hold", {"at": seq}),
                ("hold_released", {"hold_id": f"{named}.{seq}"}),
                ("period_rolled", {"key": period, "end": random_.randrange(9)}),
                ("period_closed", {"totals": {"key": period}}),
                ("reset", {}),
            ]
        )
        notify = random_.random() < 0.2
        rows.append(make_row(seq, user, key=key, kind=kind, notify=notify, body=compact(body)))
    return rows


def of_user(user: str, at: int, limit: int, keys: list[str], ended: list[str]) -> list[Asks]:
    return [
        lambda journal: journal.history(user, at, limit),
        lambda journal: journal.newest(user, at, limit),
        lambda journal: journal.newest(user, at, limit, "reset"),
        lambda journal: journal.noticed(user, at, limit),
        lambda journal: journal.find_all(user, keys),
        lambda journal: journal.ended_by(user, ended),
    ]


def questions(rows: list[Row], random_: random.Random) -> list[Asks]:
    """What may be asked of a log, with something of each section."""
    at, limit = random_.randrange(len(rows) + 2), random_.randrange(1, 90)
    keys = [row.key for row in random_.sample(rows, 9) if row.key is not None]
    ended = [
        found
        for row in random_.sample(rows, 60)
        if (found := FORM.ending.key_of(row.kind, row.body))
    ]
    asked: list[Asks] = [
        lambda journal: journal.users("", ALL),
        lambda journal: journal.users("alice", 2),
        lambda journal: journal.notices(at, limit),
        lambda journal: journal.load(USERS[1:], limit),
        lambda journal: journal.ended(Ended(-1, 0, ""), 5, limit),
        lambda journal: journal.ended(Ended(3, at, ""), ALL, limit),
    ]
    for user in (*USERS, "nobody"):
        asked += of_user(user, at, limit, keys, ended)
    return asked


async def agree(
    journal: Journal, model: Journal, rows: list[Row], random_: random.Random
) -> tuple[int, int]:
    """Every answer is the model's, or it is made anew just now: how many are which."""
    right = later = 0
    for ask in questions(rows, random_):
        try:
            found = await ask(journal)
        except BeingMade as error:
            later += error.retry_s > 0
        else:
            assert found == await ask(model)
            right += 1
    return right, later


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BODY_BYTES", 150)


async def filled(directory: Path, rows: list[Row], lump: int = LUMP) -> None:
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=lump)
    for begin in range(0, len(rows), 20):
        await journal.append(rows[begin : begin + 20])
    await journal._index.filled.wait()
    await journal.close()


async def modelled(rows: list[Row]) -> MemoryJournal:
    model = MemoryJournal(FORM)
    await model.append(rows)
    return model


def stored(directory: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(directory / INDEX)) as db:
        return db.execute("SELECT * FROM blocks ORDER BY id").fetchall()


def in_index(directory: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(directory / INDEX, isolation_level=None)) as db:
        for statement, args in statements:
            db.execute(statement, args)


async def test_every_answer_is_that_of_a_plain_list_of_all_rows(
    directory: Path, random_: random.Random
) -> None:
    model = MemoryJournal(FORM)
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    rows: list[Row] = []
    while len(rows) < 12 * LUMP:
        block = drawn(random_, len(rows) + 1, random_.randrange(1, 50))
        await journal.append(block)
        await model.append(block)
        rows += block
        if len(rows) > 60:
            assert (await agree(journal, model, rows, random_))[1] == 0
        if random_.random() < 0.1:
            await journal.close()
            journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    await journal.close()
    assert len(stored(directory)) > 12 * 6 * 2


def blanked(found: list[tuple[Any, ...]], at: int, _: list[tuple[Any, ...]]) -> list[Any]:
    body = b"\0" * len(found[at][5])
    return [("UPDATE blocks SET body = ? WHERE id = ?", (body, found[at][0]))]


def emptied(found: list[tuple[Any, ...]], at: int, _: list[tuple[Any, ...]]) -> list[Any]:
    return [("UPDATE blocks SET body = ? WHERE id = ?", (b"{}", found[at][0]))]


def removed(found: list[tuple[Any, ...]], at: int, _: list[tuple[Any, ...]]) -> list[Any]:
    return [("DELETE FROM blocks WHERE id = ?", (found[at][0],))]


def exchanged(found: list[tuple[Any, ...]], at: int, _: list[tuple[Any, ...]]) -> list[Any]:
    """What two blocks say is in each other's place, checksums and all."""
    other = found[(at + 1) % len(found)]
    put = "UPDATE blocks SET next = ?, body = ?, checksum = ? WHERE id = ?"
    return [(put, (*found[at][4:], other[0])), (put, (*other[4:], found[at][0]))]


def of_another_file(found: list[tuple[Any, ...]], at: int, others: list[Any]) -> list[Any]:
    """A block of another index that had the same place: whole, but not of this file."""
    for other in others:
        if other[1:4] == found[at][1:4]:
            put = "UPDATE blocks SET next = ?, body = ?, checksum = ? WHERE id = ?"
            return [(put, (*other[4:], found[at][0]))]
    return emptied(found, at, others)


def no_text(found: list[tuple[Any, ...]], at: int, _: list[tuple[Any, ...]]) -> list[Any]:
    put = "UPDATE blocks SET next = CAST(x'ff41' AS TEXT) WHERE id = ?"
    return [(put, (found[at][0],))]


HARMS = (blanked, emptied, removed, exchanged, of_another_file, no_text)


@pytest.mark.parametrize("harm", HARMS)
async def test_no_damaged_block_makes_a_wrong_answer(
    directory: Path,
    tmp_path: Path,
    random_: random.Random,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[list[Any], int, list[Any]], list[Any]],
) -> None:
    monkeypatch.setattr(index_rebuild.Rebuild, "start", lambda *_: None)
    rows = drawn(random_, 1, 3 * LUMP + 7)
    await filled(directory, rows)
    model = await modelled(rows)
    other = [row._replace(user=random_.choice(USERS)) for row in rows]
    await filled(tmp_path / "other", other)
    found, others = stored(directory), stored(tmp_path / "other")
    right = noticed = 0
    # Sections of each run that have few blocks have one of them among these, and all others some.
    for at in range(0, len(found), 3):
        harmed = tmp_path / f"harmed-{at}"
        shutil.copytree(directory, harmed)
        in_index(harmed, *harm(found, at, others))
        journal = await SQLiteJournal.open(harmed, FORM, lump_rows=LUMP)
        right += (await agree(journal, model, rows, random_))[0]
        noticed += bool(journal._index.shelf.lost)
        await journal.close()
        shutil.rmtree(harmed)
    assert right > 0
    assert noticed > len(range(0, len(found), 3)) * 0.6  # the others were not asked for


@pytest.mark.parametrize("harm", [blanked, removed])
async def test_damage_in_each_run_is_answered_from_the_log_or_told_when_to_come_again(
    directory: Path, random_: random.Random, monkeypatch: pytest.MonkeyPatch, harm: Any
) -> None:
    monkeypatch.setattr(index_rebuild.Rebuild, "start", lambda *_: None)
    rows = drawn(random_, 1, 6 * LUMP)
    await filled(directory, rows)
    found = stored(directory)
    for at in range(len(found)):
        in_index(directory, *harm(found, at, []))
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    right, later = await agree(journal, await modelled(rows), rows, random_)
    assert later > 0
    newest = [row for row in rows if row.user == "alice"][-3:]
    assert await journal.history("alice", newest[0].seq - 1, 3) == newest  # of one run or two
    assert right > 0
    await journal.close()


async def made_anew(journal: SQLiteJournal) -> None:
    making = journal._index._rebuild._making
    assert making is not None
    await making


async def test_a_damaged_file_is_made_anew_while_rows_are_appended_and_none_is_missed(
    directory: Path, random_: random.Random
) -> None:
    rows = drawn(random_, 1, 5 * LUMP + 3)
    await filled(directory, rows)
    found = stored(directory)
    in_index(directory, *emptied(found, len(found) // 2, []), *removed(found, 0, []))
    model = await modelled(rows)
    with capture_logs() as lines:
        journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
        await agree(journal, model, rows, random_)
        making = journal._index._rebuild._making
        assert making is not None
        while not making.done():
            block = drawn(random_, len(rows) + 1, 13)
            await journal.append(block)
            await model.append(block)
            rows += block
            await agree(journal, model, rows, random_)
        await making
        assert (await agree(journal, model, rows, random_))[1] == 0
    assert not journal._index.shelf.lost
    said = [line for line in lines if line["event"] in {"damaged", "index_made_anew"}]
    assert [line["event"] for line in said] == ["damaged", "index_made_anew"]
    assert (said[0]["file"], said[0]["log_level"]) == (INDEX, "error")
    await journal._index.filled.wait()
    await journal.close()

    with capture_logs() as lines:
        journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
        assert (await agree(journal, model, rows, random_))[1] == 0
        await journal.close()
    assert lines == []
    assert not (directory / "index.db.new").exists()


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE filters SET body = zeroblob(length(body)) WHERE run = 2",
        "UPDATE filters SET body = 'text' WHERE run = 2",
        "DELETE FROM filters WHERE run = 2",
        (
            "UPDATE filters SET (body, checksum) ="
            " (SELECT body, checksum FROM filters WHERE run = 1) WHERE run = 2"
        ),
    ],
)
async def test_a_damaged_filter_hides_no_row_and_has_the_file_made_anew(
    directory: Path, random_: random.Random, harm: str
) -> None:
    rows = drawn(random_, 1, 4 * LUMP)
    await filled(directory, rows)
    in_index(directory, (harm, ()))
    model = await modelled(rows)
    with capture_logs() as lines:
        journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
        assert sorted(journal._index.shelf.filters) == [1, 3, 4]
        assert (await agree(journal, model, rows, random_))[1] == 0
        await made_anew(journal)
        assert (await agree(journal, model, rows, random_))[1] == 0
        assert sorted(journal._index.shelf.filters) == [1, 2, 3, 4]
        await journal.close()
    assert [line["event"] for line in lines] == ["damaged", "index_made_anew"]
    assert lines[0]["place"] == f"the filter of the run of rows {LUMP + 1} to {2 * LUMP}"


async def test_runs_without_rows_of_a_user_are_not_read(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [make_row(seq, f"u{(seq - 1) // LUMP}", key=f"k{seq}") for seq in range(1, 8 * LUMP + 1)]
    await filled(directory, rows)
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    shelf = journal._index.shelf
    read = list[int]()
    take = shelf.take

    async def counted(asks: Any, needed: set[int]) -> Any:
        read.extend(ask.run.id for ask in asks)
        return await take(asks, needed)

    monkeypatch.setattr(shelf, "take", counted)
    assert len(await journal.history("u3", 0, ALL)) == LUMP
    assert await journal.find("u3", f"k{3 * LUMP + 1}") is not None
    assert set(read) == {4}
    read.clear()
    assert await journal.newest("u3", ALL, 5, "reset") == []
    assert await journal.noticed("u3", ALL, 5) == []
    assert set(read) == {4}
    await journal.close()


@pytest.mark.parametrize("harm", ["gone", "no database", "another log", "a run is missing"])
async def test_a_start_with_a_long_log_waits_for_no_index_and_makes_it_behind_the_service(
    directory: Path, random_: random.Random, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    monkeypatch.setattr(index_rebuild, "READY_ROWS", 2 * LUMP)
    rows = drawn(random_, 1, 8 * LUMP + 5)
    await filled(directory, rows)
    path = directory / INDEX
    if harm == "gone":
        path.unlink()
    elif harm == "no database":
        path.write_bytes(random_.randbytes(40_000))
    elif harm == "another log":
        in_index(directory, ("UPDATE position SET anchor = 'of another log'", ()))
    else:
        in_index(directory, ("DELETE FROM runs WHERE id = 3", ()))
    model = await modelled(rows)
    with capture_logs() as lines:
        journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
        assert not journal._index.is_there
        block = drawn(random_, len(rows) + 1, 3 * LUMP)
        for begin in range(0, len(block), 20):
            await journal.append(block[begin : begin + 20])
        await model.append(block)
        rows += block
        await agree(journal, model, rows, random_)
        last = await model.newest("alice", ALL, 3)
        assert await journal.newest("alice", ALL, 3) == last  # it is in memory
        await made_anew(journal)
        assert (await agree(journal, model, rows, random_))[1] == 0
        await journal._index.filled.wait()
        assert (await agree(journal, model, rows, random_))[1] == 0
    assert [line["event"] for line in lines] == ["index_made_anew"]
    await journal.close()


async def test_an_index_that_is_damaged_again_at_once_is_not_made_anew_at_once(
    directory: Path, random_: random.Random
) -> None:
    rows = drawn(random_, 1, 3 * LUMP)
    await filled(directory, rows)
    in_index(directory, ("UPDATE blocks SET body = '{}' WHERE run = 1", ()))
    model = await modelled(rows)
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    await agree(journal, model, rows, random_)
    await made_anew(journal)
    in_index(directory, ("UPDATE blocks SET body = '{}'", ()))
    later = 0
    while not later:
        later = (await agree(journal, model, rows, random_))[1]
    assert journal._index._rebuild.left_s() > index_rebuild.BACK_OFF_S / 2
    await journal.close()
