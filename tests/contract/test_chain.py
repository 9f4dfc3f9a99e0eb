"""The chain of digests finds what was changed by hand, and nothing else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from persistence import schema
from persistence.errors import Refused
from persistence.inspection import Broken, ChainCheck, Inspection
from persistence.sqlite import SQLiteJournal
from tests.support.rows import make_row, make_snapshot

TRIGGERS = "DROP TRIGGER log_is_never_changed; DROP TRIGGER log_is_never_removed;"

SWAP = """
UPDATE log SET seq = 100 WHERE seq = 4;
UPDATE log SET seq = 4 WHERE seq = 5;
UPDATE log SET seq = 5 WHERE seq = 100;
"""


async def written(directory: Path, *blocks: int) -> None:
    """A log of blocks of so many rows each."""
    journal = await SQLiteJournal.open(directory)
    for size in blocks:
        last = await journal.last_seq()
        await journal.append(
            [make_row(last + n, key=f"k{last + n}", personal="{}") for n in range(1, size + 1)]
        )
    await journal.close()


def edit(directory: Path, script: str) -> None:
    with closing(sqlite3.connect(directory / "meterd.db")) as db:
        db.executescript(TRIGGERS + script)


def broken(directory: Path) -> list[Broken]:
    with Inspection.open(directory) as log:
        check = ChainCheck(log.unchained())
        found = [check.take(row, stored) for row, stored in log.rows()]
        return [one for one in [*found, check.end()] if one is not None]


async def test_a_log_as_it_was_written_has_nothing_broken(directory: Path) -> None:
    await written(directory, 3, 1, 2000)
    await written(directory, 5)
    assert broken(directory) == []


@pytest.mark.parametrize(
    ("script", "first", "last"),
    [
        ("UPDATE log SET body = '{\"cost_nano\":1}' WHERE seq = 5", 4, 6),
        ("UPDATE log SET at = at + 1 WHERE seq = 5", 4, 6),
        ("UPDATE log SET user_id = 'bob' WHERE seq = 5", 4, 6),
        ("UPDATE log SET event_id = NULL WHERE seq = 5", 4, 6),
        ("UPDATE log SET notify = 1 WHERE seq = 6", 4, 6),
        ("DELETE FROM log WHERE seq = 5", 4, 6),
        (SWAP, 4, 6),
        ("UPDATE log SET chain = x'00' WHERE seq = 6", 4, 6),
    ],
)
async def test_a_row_that_was_changed_removed_or_put_elsewhere_is_found(
    directory: Path, script: str, first: int, last: int
) -> None:
    await written(directory, 3, 3, 3)
    edit(directory, script)
    found = broken(directory)
    assert found[0][:2] == (first, last)


async def test_a_whole_block_that_was_removed_is_found(directory: Path) -> None:
    await written(directory, 3, 3, 3)
    edit(directory, "DELETE FROM log WHERE seq BETWEEN 4 AND 6")
    assert broken(directory) == [Broken(7, 9, "not as it was written")]


async def test_a_block_that_lost_its_end_is_found(directory: Path) -> None:
    await written(directory, 3, 3)
    edit(directory, "DELETE FROM log WHERE seq = 6")
    assert broken(directory) == [Broken(4, 5, "rows behind it are missing")]


async def test_blocks_after_a_broken_one_are_judged_by_themselves(directory: Path) -> None:
    await written(directory, 1, 1, 1, 1)
    edit(directory, "UPDATE log SET body = '[]' WHERE seq IN (1, 3)")
    assert [found.first for found in broken(directory)] == [1, 3]


async def test_erased_personal_fields_are_no_change(directory: Path) -> None:
    await written(directory, 3)
    with closing(sqlite3.connect(directory / "meterd.db")) as db:
        db.execute("UPDATE log SET personal = NULL")
        db.commit()
    assert broken(directory) == []


async def test_the_chain_goes_on_after_a_write_that_failed(directory: Path) -> None:
    journal = await SQLiteJournal.open(directory)
    await journal.append([make_row(1)])
    with pytest.raises(Exception, match="UNIQUE"):
        await journal.append([make_row(1)])
    await journal.append([make_row(2)])
    await journal.append([], [make_snapshot("alice", 2)])
    await journal.append([make_row(3)])
    await journal.close()
    assert broken(directory) == []


async def test_rows_from_before_the_chain_are_left_alone_and_it_begins_after_them(
    directory: Path,
) -> None:
    directory.mkdir(mode=0o700)  # noqa: ASYNC240 -- nothing else runs
    with closing(sqlite3.connect(directory / "meterd.db", isolation_level=None)) as db:
        (_, first), *_ = schema.migrations()
        db.executescript(first)
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        db.execute("INSERT INTO log VALUES (1, 0, 'alice', 'k', 'usage', 7, 0, '{}', NULL)")
        db.execute("INSERT INTO log VALUES (2, 0, 'alice', NULL, 'reset', 7, 0, '{}', NULL)")
    await written(directory, 2, 2)
    assert broken(directory) == []
    edit(directory, "UPDATE log SET body = '[]' WHERE seq = 3")
    assert broken(directory) == [Broken(3, 4, "not as it was written")]


def test_a_directory_without_a_log_is_refused(directory: Path) -> None:
    with pytest.raises(Refused, match="there is no"):
        Inspection.open(directory)
