"""Which row ended what another one began: `LogQueries.ended_by`, and the index behind it."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from messages.stored.form import FORM
from persistence.journal import Journal
from persistence.records import Row
from persistence.sqlite import index_file
from persistence.sqlite.journal import SQLiteJournal
from tests.support.rows import make_row

FAR = 1 << 62
LATER = 1_700_000_000_000_000 + 10**15
LUMP = 50


def compact(body: Any) -> str:
    return json.dumps(body, separators=(",", ":"))


def released(seq: int, key: str, user: str = "alice") -> Row:
    return make_row(seq, user, kind="hold_released", body=compact({"hold_id": key}))


def called(seq: int, key: str, user: str = "alice", **said: str) -> Row:
    return make_row(seq, user, body=compact({"p": "exa", "hold_id": key, **said}))


def rows_with_ends(random_: random.Random, first: int, count: int) -> list[Row]:
    """Holds by number, of which some end; each ended one is named again by calls behind it."""
    rows: list[Row] = []
    for seq in range(first, first + count):
        user, key = f"user-{seq % 3}", f"k{seq}"
        past = f"k{random_.randrange(1, seq + 1)}"
        rows.append(
            random_.choice(
                [
                    make_row(seq, user, key=key, kind="hold", body=compact({"at": seq})),
                    make_row(seq, user, key=key, body=compact({"p": "exa"})),
                    released(seq, key, user),
                    called(seq, key, user, hs="settled"),
                    called(seq, key, user, hold_status="settled"),
                    called(seq, past, user, hs=random_.choice(["expired", "released", "unknown"])),
                    make_row(seq, user, kind="hold_extended", body=compact({"hold_id": past})),
                ]
            )
        )
    return rows


def ended(rows: list[Row], user: str) -> dict[str, Row]:
    """By which rows a user's keys ended, looked for in all of them."""
    found: dict[str, Row] = {}
    for row in rows:
        body = json.loads(row.body)
        settled = body.get("hs", body.get("hold_status")) == "settled"
        if row.user == user and (row.kind == "hold_released" or settled):
            found[body["hold_id"]] = row
    return found


async def check(journal: Journal, rows: list[Row], random_: random.Random) -> None:
    for user in ("user-0", "user-1", "user-2", "nobody"):
        keys = [f"k{number}" for number in range(1, len(rows) + 1)]
        keys = random_.sample(keys, min(40, len(keys)))
        found = {key: row for key, row in ended(rows, user).items() if key in keys}
        assert await journal.ended_by(user, keys) == found


async def test_the_end_of_a_key_is_found_as_in_a_plain_list_of_all_rows(
    journal: Journal, random_: random.Random
) -> None:
    assert await journal.ended_by("alice", ["k"]) == {}
    rows: list[Row] = []
    for _ in range(15):
        block = rows_with_ends(random_, len(rows) + 1, random_.randrange(1, 30))
        await journal.append(block)
        rows += block
        await check(journal, rows, random_)


async def test_any_text_may_be_a_key_that_ended(journal: Journal) -> None:
    keys = ["\x00", "\x00a", "a\x00b", "'", '"', "\\u0000", '"hold_id":"x"', "\U0001f600", "[]"]
    ways = (released, lambda seq, key: called(seq, key, hs="settled"))
    rows = [ways[seq % 2](seq, key) for seq, key in enumerate(keys, 1)]
    await journal.append(rows)
    found = await journal.ended_by("alice", [*keys, "a", ""])
    assert found == dict(zip(keys, rows, strict=True))


async def test_a_body_that_is_not_as_it_should_be_ends_nothing_and_stops_nothing(
    journal: Journal,
) -> None:
    bodies = ['{"hold_id":"k"', '["hold_id":"k"]', '["\\"hold_id\\":"]', '{"hold_id":null}']
    bodies += ['{"hold_id":1}', '{"a":"\\u0000","hold_id":{}}', '"\\u0000\\"hold_id\\":"', ""]
    bad = [make_row(seq, kind="hold_released", body=body) for seq, body in enumerate(bodies, 1)]
    good = released(len(bad) + 1, "k")
    await journal.append([*bad, good])
    assert await journal.ended_by("alice", ["k", "1", ""]) == {"k": good}


@pytest.mark.parametrize("archived", [False, True])
async def test_an_index_that_is_made_anew_knows_what_ended(
    directory: Path, random_: random.Random, *, archived: bool
) -> None:
    rows = rows_with_ends(random_, 1, 3 * LUMP + 7)
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    await journal.append(rows)
    if archived:
        step = await journal.archivable(LATER, 2 * LUMP, 1)
        assert step is not None
        await journal.archive(step.last)
    await journal.close()
    (directory / index_file.INDEX).unlink()
    again = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    await check(again, rows, random_)
    await again.close()


async def test_an_archive_that_is_away_when_the_index_is_made_anew_is_told_and_stops_no_start(
    directory: Path, random_: random.Random
) -> None:
    rows = rows_with_ends(random_, 1, 3 * LUMP)
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    await journal.append(rows)
    step = await journal.archivable(LATER, LUMP, 1)
    assert step is not None
    await journal.archive(step.last)
    await journal.close()
    (directory / index_file.INDEX).unlink()
    for file in (directory / "archive").iterdir():
        file.rename(directory / file.name)
    with capture_logs() as logs:
        again = await SQLiteJournal.open(directory, FORM, lump_rows=LUMP)
    assert "index_without_archive" in {line["event"] for line in logs}
    behind = {key: row for key, row in ended(rows, "user-1").items() if row.seq > step.last}
    assert await again.ended_by("user-1", list(behind)) == behind
    await again.close()


async def steps(journal: SQLiteJournal, key: str) -> int:
    """The instructions of SQLite, in tens, that it takes to say how a key ended."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    reader = journal._index.shelf.reader
    assert reader is not None
    connections = (journal._recoveries, reader)

    def watch(db: sqlite3.Connection) -> None:
        db.set_progress_handler(step, 10)

    for connection in connections:
        await connection.call(watch)
    assert await journal.ended_by("alice", [key]) != {}
    for connection in connections:
        await connection.call(lambda db: db.set_progress_handler(None, 0))
    return count


@pytest.mark.parametrize("lump", [200, 1_000_000])
async def test_the_end_of_a_long_hold_is_found_as_fast_in_the_file_and_in_memory(
    directory: Path, lump: int
) -> None:
    journal = await SQLiteJournal.open(directory, FORM, lump_rows=lump)
    rows = 400
    await journal.append([make_row(1, key="h", kind="hold"), released(2, "h")])
    counts = []
    for _ in range(2):
        first = await journal.last_seq() + 1
        await journal.append([make_row(first + n) for n in range(rows)])
        await journal.append([released(first + rows, f"k{first}")])
        await journal._index.filled.wait()
        await journal.ended_by("alice", ["h"])  # in memory each row is looked at once
        counts.append(await steps(journal, "h"))
        rows *= 10
    assert counts[1] < 2 * counts[0] + 20, counts
    await journal.close()
