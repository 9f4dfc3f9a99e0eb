"""A definition in the schema that is damaged is made anew, though every row is whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from messages.stored.form import FORM
from persistence.errors import Refused
from persistence.sqlite.inspecting.definitions import other_definitions
from persistence.sqlite.journal import SQLiteJournal
from tests.support.data import edit
from tests.support.mending import DATABASE, Fresh, Made, mended, stored

TEXTS = {
    "log_is_never_changed": (b"WHEN (new.seq, new.partition,", b"WHEN (new.seq, new.pirtition,"),
    "archives": (b"takes bodies out, never", b"takes bodies out, Never"),
}
"""Of a trigger and of a table: what is stored, and the same with one bit flipped."""


def replace(data: Path, what: bytes, with_what: bytes) -> None:
    """Write some bytes of the file over, behind the back of SQLite."""
    content = (data / DATABASE).read_bytes()
    assert content.count(what) == 1
    (data / DATABASE).write_bytes(content.replace(what, with_what))


@pytest.mark.parametrize("kind", ["view", "table"])
def test_a_definition_that_is_no_utf_8_is_damage(made: Made, fresh: Fresh, kind: str) -> None:
    data = fresh(made.closed)
    comment = "x'202d2d20ff0a'"
    definition = f"CAST(CAST(sql AS BLOB) || {comment} AS TEXT)"
    edit(
        data,
        f"PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = {definition}"
        f" WHERE name = (SELECT min(name) FROM sqlite_master WHERE type = '{kind}')",
    )
    report = mended(data)
    assert (report.outcome, report.missing) == ("mended", [])
    assert "the schema" in report.damaged[0]
    assert stored(data) == made.rows


@pytest.mark.parametrize("name", TEXTS)
def test_a_definition_of_which_one_bit_is_flipped_is_damage(
    made: Made, fresh: Fresh, name: str
) -> None:
    data = fresh(made.closed)
    replace(data, *TEXTS[name])
    report = mended(data)
    assert (report.outcome, report.missing) == ("mended", [])
    assert name in report.damaged[0]
    assert stored(data) == made.rows
    with closing(sqlite3.connect(data / DATABASE)) as db:
        assert other_definitions(db) == []


async def test_a_start_on_a_definition_that_no_error_can_quote_says_what_to_do(
    made: Made, fresh: Fresh
) -> None:
    data = fresh(made.closed)
    replace(data, b"WHEN (new.seq,", b"WH\xc5N (new.seq,")
    with pytest.raises(Refused, match=r"no UTF-8.*meterd mend"):
        await SQLiteJournal.open(data, FORM)
    assert mended(data).outcome == "mended"
    assert stored(data) == made.rows
