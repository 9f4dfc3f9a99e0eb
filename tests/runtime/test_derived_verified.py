"""What is derived of a log under `meterd verify`: the filter of keys, the index, block by block."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from actors.audit.findings import Finding
from persistence.key_filter import KeyFilter
from persistence.sqlite import key_filter_file
from persistence.sqlite.blocks import Block, Run, checksum
from persistence.sqlite.high_water_mark import MARK
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.inspecting.fault import NOTHING_SERVES, NOTHING_STARTS
from persistence.sqlite.key_filter_store import FILE as KEYS
from persistence.sqlite.sections import Section
from tests.support.data import LUMP, USERS, edit, seq_of, verified

MORE = "INSERT INTO blocks SELECT NULL, 9, section, first, next, body, 0 FROM blocks WHERE run = 1"


def rewritten(directory: Path, change: Callable[[Block], Block]) -> None:
    """Change a block of the second run so that its checksum fits."""
    with closing(sqlite3.connect(directory / INDEX)) as db:
        ((file,),) = db.execute("SELECT file FROM position")
        run = Run(2, LUMP, 2 * LUMP, file)
        query = "SELECT first, next, body FROM blocks WHERE run = 2 AND section = ? AND first = ''"
        before = Block(*db.execute(query, (Section.ROWS,)).fetchone())
        after = change(before)
        values = (*after, checksum(run, Section.ROWS, after), Section.ROWS, before.first)
        db.execute(
            "UPDATE blocks SET first = ?, next = ?, body = ?, checksum = ?"
            " WHERE run = 2 AND section = ? AND first = ?",
            values,
        )
        db.commit()


def test_an_entry_that_the_log_has_not_and_one_that_is_missing_are_counted(data: Path) -> None:
    rewritten(data, lambda it: it._replace(body=it.body.replace(b"[", b"[7", 1)))
    _, (found,) = verified(data)
    assert found == Finding(
        "",
        "",
        "index",
        "it has 1 entries that the log has not, and lacks 1 that it has",
        INDEX,
        f"run 2 of rows {LUMP + 1} to {2 * LUMP}",
        (LUMP + 1, 2 * LUMP),
        derived=True,
        do=NOTHING_SERVES,
    )


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("DELETE FROM blocks WHERE run = 2 AND section = 3", "missing, or not as they were"),
        ("UPDATE blocks SET body = body || 'x' WHERE run = 2", "missing, or not as they were"),
        ("UPDATE blocks SET next = 'm' WHERE run = 2", "missing, or not as they were"),
        ("UPDATE runs SET last = last - 1 WHERE id = 2", "it is damaged"),
        ("DELETE FROM runs WHERE id = 3", "it is damaged"),
        ("UPDATE position SET anchor = 'another'", "it is damaged"),
        ("DELETE FROM position", "it cannot be read"),
        (MORE, "of no run"),
    ],
)
def test_a_damaged_index_is_named_and_is_made_anew_by_itself(
    data: Path, script: str, why: str
) -> None:
    with closing(sqlite3.connect(data / INDEX)) as db:
        db.executescript(script)
    report, (found,) = verified(data)
    assert why in found.why
    assert (found.field, found.file, found.do) == ("index", INDEX, NOTHING_SERVES)
    assert found.derived
    assert report.users == 30


def test_an_index_is_compared_as_far_as_rows_say_what_they_are(data: Path) -> None:
    """Damage of the log is none of the index, which says whose the rows were."""
    settled = seq_of(data, 3, USERS[0]) - 1
    edit(data, f"UPDATE log SET body = '{{}}' WHERE seq = {settled}")
    edit(data, "UPDATE log SET user_id = 'nobody' WHERE seq = 90; DELETE FROM log WHERE seq = 100")
    _, found = verified(data)
    assert {one.file for one in found} == {"meterd.db"}
    named = {one.rows: one.users for one in found if not one.user}
    assert named == {
        (90, 90): ("user 28",),
        (100, 100): ("user 8",),
        (settled, settled): ("user 0",),
    }
    rewritten(data, lambda it: it._replace(body=it.body.replace(b"[", b"[7", 1)))
    _, found = verified(data)
    (index,) = [one for one in found if one.file == INDEX]
    assert index.why == "it has 1 entries that the log has not, and lacks 1 that it has"


def test_an_index_and_a_filter_that_are_behind_or_not_there_are_nothing(data: Path) -> None:
    with closing(sqlite3.connect(data / INDEX)) as db:
        assert db.execute("SELECT count(*) FROM runs").fetchone() == (3,)
    (data / INDEX).unlink()
    (data / KEYS).unlink()
    (data / MARK).unlink()
    assert verified(data)[1] == []


def test_keys_that_the_filter_lacks_are_counted(data: Path) -> None:
    """As if the checksum fitted: whoever puts another filter in place of the log's own."""
    kept = key_filter_file.read(data / KEYS)
    key_filter_file.write(data / KEYS, KeyFilter(500, 600).parts(), kept.seq, kept.anchor)
    _, (found,) = verified(data)
    assert (found.field, found.file, found.do) == ("keys", KEYS, NOTHING_STARTS)
    assert found.why.startswith("it lacks 183 keys")
    assert found.rows is not None


def test_a_filter_of_another_log_is_named(data: Path) -> None:
    kept = key_filter_file.read(data / KEYS)
    key_filter_file.write(data / KEYS, kept.parts, kept.seq, "another row")
    _, (found,) = verified(data)
    assert found.why.startswith("it is of another log")
