"""The index of users and keys: derived from the log, and never believed against it."""

from __future__ import annotations

import random
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from messages.stored.form import FORM
from persistence.errors import Refused, Unavailable
from persistence.records import Row
from persistence.sqlite import index, index_file
from persistence.sqlite.index_reads import query, query_of_one
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row, make_rows, of_user
from tests.support.turns import turns_of_the_loop

ALL = 1_000_000
LUMP = 50


async def open_in_lumps(directory: Path) -> SQLiteJournal:
    return await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)


async def check(journal: SQLiteJournal, rows: list[Row]) -> None:
    """Every user's rows and every key are found as the rows say."""
    for user in {row.user for row in rows}:
        mine = of_user(rows, user)
        assert await journal.history(user, 0, ALL) == mine
        assert await journal.newest(user, ALL, ALL) == mine[::-1]
        middle = mine[len(mine) // 2].seq
        assert await journal.history(user, middle, 3) == [r for r in mine if r.seq > middle][:3]
        older = [r for r in mine if r.seq < middle][::-1]
        assert await journal.newest(user, middle, 3) == older[:3]
    for row in rows:
        assert row.key is None or await journal.find(row.user, row.key) == row


async def test_rows_are_found_in_memory_in_the_file_and_on_both_sides(
    directory: Path, random_: random.Random
) -> None:
    journal = await open_in_lumps(directory)
    rows: list[Row] = []
    while len(rows) < 5 * LUMP + 7:
        block = make_rows(random_, len(rows) + 1, random_.randrange(1, 40))
        await journal.append(block)
        rows += block
        if random_.random() < 0.3:
            await check(journal, rows)  # a lump may be on its way into the file
    await journal._index.filled.wait()
    await check(journal, rows)
    await journal.close()

    journal = await open_in_lumps(directory)
    await check(journal, rows)
    await journal.close()


async def test_a_lump_that_is_in_the_file_is_not_in_memory(
    directory: Path, random_: random.Random
) -> None:
    journal = await open_in_lumps(directory)
    await journal.append(make_rows(random_, 1, LUMP))
    await journal.append(make_rows(random_, LUMP + 1, 3))
    await journal._index.filled.wait()

    assert [tail.count for tail in journal._index._tails] == [3]
    await journal.close()


@pytest.mark.parametrize("harm", ["gone", "no database", "another version", "another log"])
async def test_an_index_that_cannot_be_used_is_made_anew(
    directory: Path, random_: random.Random, harm: str
) -> None:
    journal = await open_in_lumps(directory)
    rows = make_rows(random_, 1, 3 * LUMP + 5)
    await journal.append(rows)
    await journal._index.filled.wait()
    await journal.close()
    path = directory / index_file.INDEX
    if harm == "gone":
        path.unlink()
    elif harm == "no database":
        path.write_bytes(b"\0" * 8192)
    else:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            if harm == "another version":
                db.execute("PRAGMA user_version = 99")
            else:
                db.execute("UPDATE position SET anchor = 'of another log'")

    journal = await open_in_lumps(directory)

    await check(journal, rows)
    await journal.close()


async def test_an_index_that_lags_behind_catches_up_at_the_start(
    directory: Path, random_: random.Random
) -> None:
    journal = await SQLiteJournal.open(directory, FORM)
    rows = make_rows(random_, 1, 4 * LUMP + 9)
    await journal.append(rows)
    await journal.close()

    journal = await open_in_lumps(directory)

    assert [tail.count for tail in journal._index._tails] == [9]
    await check(journal, rows)
    await journal.close()


async def test_a_fill_that_fails_is_tried_again_and_reads_stay_right(
    directory: Path, random_: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = await open_in_lumps(directory)
    monkeypatch.setattr(index, "RETRY_S", 0)
    fill, failures = journal._index._fill, [Unavailable("no"), Unavailable("not yet")]

    async def failing() -> None:
        await check(journal, rows)
        if failures:
            raise failures.pop()
        await fill()

    monkeypatch.setattr(journal._index, "_fill", failing)
    rows = make_rows(random_, 1, 2 * LUMP)
    await journal.append(rows)
    await journal._index.filled.wait()

    assert not failures
    await check(journal, rows)
    await journal.close()


async def test_a_key_is_found_in_the_newest_runs_in_older_ones_and_in_both(
    directory: Path, random_: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "NEWEST_RUNS", 2)
    journal = await open_in_lumps(directory)
    rows = [
        row._replace(user="alice", key=f"k{row.seq}") for row in make_rows(random_, 1, 6 * LUMP)
    ]
    for at in range(0, len(rows), LUMP):
        await journal.append(rows[at : at + LUMP])
    await journal._index.filled.wait()

    for seqs in ([1], [6 * LUMP], [1, LUMP, 4 * LUMP, 4 * LUMP + 1, 6 * LUMP]):
        keys = [f"k{seq}" for seq in seqs]
        found = await journal.find_all("alice", [*keys, "never used"])
        assert sorted(row.seq for row in found.values()) == seqs
    assert await journal.find("bob", "k1") is None
    await journal.close()


async def test_a_fill_writes_behind_what_is_there(directory: Path, random_: random.Random) -> None:
    # Whatever the keys: with pages of all runs before it a fill would cost more and more.
    journal = await open_in_lumps(directory)

    def written(db: sqlite3.Connection) -> int:
        return int(db.execute("PRAGMA main.wal_checkpoint(TRUNCATE)").fetchone()[1])

    sizes = []
    for at in range(1, 40 * LUMP, LUMP):
        await journal.append(make_rows(random_, at, LUMP))
        await journal._index.filled.wait()
        sizes.append((directory / "index.db-wal").stat().st_size)
        assert journal._index.shelf.filler is not None
        await journal._index.shelf.filler.call(written)
    assert max(sizes[20:]) <= 2 * max(sizes[1:5])
    await journal.close()


async def test_a_close_fills_in_a_long_tail(
    directory: Path, random_: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "CLOSE_ROWS", 20)
    rows = make_rows(random_, 1, 2 * LUMP + 30)
    journal = await open_in_lumps(directory)
    for at in range(0, len(rows), 10):
        await journal.append(rows[at : at + 10])
    await journal.close()  # maybe while a lump is on its way into the file

    journal = await open_in_lumps(directory)
    assert journal._index.position == len(rows)
    await check(journal, rows)
    await journal.append(make_rows(random_, len(rows) + 1, 19))
    await journal.close()

    journal = await open_in_lumps(directory)
    assert journal._index.position == len(rows)
    await journal.close()


async def test_a_lump_is_filled_in_once_though_nobody_waited_for_it(
    directory: Path, random_: random.Random
) -> None:
    rows = make_rows(random_, 1, LUMP - 1)
    journal = await open_in_lumps(directory)
    await journal.append(rows)
    place = journal._index
    run, filler = place.shelf.next_run(len(rows)), place.shelf.filler
    assert filler is not None
    for _ in range(2):
        await filler.write(index_file.fill, run, place._tails[0], FORM)
    await journal.close()

    with closing(sqlite3.connect(directory / "index.db")) as db:
        assert db.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    journal = await open_in_lumps(directory)
    await check(journal, rows)
    await journal.close()


async def test_a_log_that_cannot_be_read_is_refused_and_leaves_no_thread_behind(
    directory: Path,
) -> None:
    journal = await SQLiteJournal.open(directory, FORM)
    await journal.append(make_rows(random.Random(1), 1, 2_000))
    await journal.close()
    with (directory / "meterd.db").open("r+b") as file:
        pages = file.seek(0, 2) // 4096
        for page in range(pages // 3, pages // 2):  # its schema and its end can be read
            file.seek(page * 4096)
            file.write(bytes(4096))
    before = set(threading.enumerate())
    with pytest.raises(Refused, match="malformed") as caught:
        await SQLiteJournal.open(directory, FORM)
    for thread in set(threading.enumerate()) - before:
        thread.join(2)
        assert not thread.is_alive(), "it keeps the process from ending"
    assert caught.tb is not None  # until here: whoever collects it collects the connections


async def test_a_list_of_many_recent_users_is_made_in_turns_and_costs_the_rows_that_it_shows(
    directory: Path, random_: random.Random
) -> None:
    journal = await SQLiteJournal.open(directory, FORM)
    users = [f"u{number}" for number in range(30_000)]
    random_.shuffle(users)
    rows = [make_row(seq, user) for seq, user in enumerate(users, 1)]
    await journal.append(rows)
    with turns_of_the_loop() as turns:
        assert await journal.users("", 1) == ["u0"]
    assert turns.longest < 10_000
    with turns_of_the_loop() as turns:
        assert await journal.users("u1", 3, "u1") == ["u10", "u100", "u1000"]
    assert turns.total < 10_000
    assert await journal.users("", 40_000) == sorted(users)
    await journal.close()


@pytest.mark.parametrize("newest", [False, True])
async def test_blocks_are_found_by_the_index_of_their_bounds(
    directory: Path, random_: random.Random, *, newest: bool
) -> None:
    journal = await open_in_lumps(directory)
    await journal.append(make_rows(random_, 1, LUMP))
    await journal.close()
    with closing(sqlite3.connect(directory / index_file.INDEX)) as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN {query(newest=newest)}", ("[]", 1)).fetchall()
        one = f"EXPLAIN QUERY PLAN {query_of_one(newest=newest)}"
        plan += db.execute(one, ("{}", 1)).fetchall()
    steps = [step for *_, step in plan]
    assert [step for step in steps if step.startswith("SCAN")] == [
        "SCAN asked VIRTUAL TABLE INDEX 1:"
    ] * 2
    assert not [step for step in steps if "TEMP B-TREE" in step], steps
    by_bounds = "COVERING INDEX blocks_in_order (run=? AND section=? AND first"
    assert sum(by_bounds in step for step in steps) == 3, steps
