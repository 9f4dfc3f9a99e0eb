"""What the schema has of the code and not of a migration: an index's condition, and the views.

Neither is data. Both follow from what the owner says of the rows (`Form`), so they are looked at
when a log is opened, and replaced if they say something else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from messages.stored.form import Form, Span, Storage
from messages.stored.view import Column, View

ENDS: Final = "log_ends"
_INDEX: Final = "log_kind"
_TEXT_OF: Final = "SELECT sql FROM sqlite_master WHERE type = ? AND name = ?"
_PUT_TEXT: Final = "UPDATE sqlite_master SET sql = ? WHERE type = 'index' AND name = ?"

_log = structlog.get_logger(__name__)


def derive(db: sqlite3.Connection, form: Form) -> None:
    """Make the indexes of rare rows and of ends, and the views, what the form says."""
    _index_rare(db, form)
    _index_ends(db, form.span)
    for view in form.views:
        _make_view(db, view)


def rare(common: Sequence[str], table: str = "") -> str:
    """The condition of the rows that `log_kind` has, which a query by it repeats.

    SQLite asks it of each row that is written and stops at the first kind that fits, so the most
    common kind costs one comparison; to look through a list takes 0.8 us.
    """
    return " AND ".join(f"{table}kind <> {literal(kind)}" for kind in common)


def _index_rare(db: sqlite3.Connection, form: Form) -> None:
    condition = rare(form.common())
    wanted = f"CREATE INDEX {_INDEX} ON log (user_id, kind) WHERE {condition}"
    found = db.execute(_TEXT_OF, ("index", _INDEX)).fetchone()
    text = found[0] if found else ""  # somebody may have dropped it, and no row is lost with it
    if text == wanted:
        return
    before = text.partition("WHERE")[2]
    if before and _same_rows(db, before, form.storage) and _restated(db, wanted):
        return
    _log.warning("journal_index_made_anew", index=_INDEX)
    db.executescript(f"BEGIN IMMEDIATE; DROP INDEX IF EXISTS {_INDEX}; {wanted}; COMMIT;")


def end_of(span: Span, table: str = "") -> str:
    """The end that an opening row says, as SQL over core functions; NULL if it says none."""
    body, mark = f"{table}body", literal(f'"{span.end}":')
    at = f"instr({body}, {mark})"
    text = f"substr({body}, {at} + {len(span.end) + 3}, 19)"
    return f"CASE WHEN {at} > 0 AND {text} GLOB '[0-9]*' THEN CAST({text} AS INTEGER) END"


def _index_ends(db: sqlite3.Connection, span: Span) -> None:
    """The index of when what rows open ends: SQLite keeps it with each row of that kind.

    Those of one month end together and are put behind each other, in order of their positions.
    """
    wanted = f"CREATE INDEX {ENDS} ON log ({end_of(span)}) WHERE kind = {literal(span.opens)}"
    found = db.execute(_TEXT_OF, ("index", ENDS)).fetchone()
    if found == (wanted,):
        return
    if found or db.execute("SELECT 1 FROM log LIMIT 1").fetchone():
        _log.warning("journal_index_made_anew", index=ENDS)
    db.executescript(f"BEGIN IMMEDIATE; DROP INDEX IF EXISTS {ENDS}; {wanted}; COMMIT;")


def _same_rows(db: sqlite3.Connection, before: str, storage: Mapping[str, Storage]) -> bool:
    """Whether the index has the rows that it is to have: as if a kind is new."""
    for kind, how in storage.items():
        (has,) = db.execute(f"SELECT {before} FROM (SELECT ? AS kind)", (kind,)).fetchone()  # noqa: S608 -- of the schema
        if has and how is Storage.COMMON:
            rows = f"SELECT 1 FROM log INDEXED BY {_INDEX} WHERE {before} AND kind = ? LIMIT 1"  # noqa: S608 -- as above
            if db.execute(rows, (kind,)).fetchone():
                return False
        elif not has and how is Storage.RARE:
            return False
    return True


def _restated(db: sqlite3.Connection, wanted: str) -> bool:
    """Give the index another condition that the same rows meet; False if SQLite refuses.

    To make it anew takes 7 s for 10,000,000 rows. This is the procedure that SQLite describes for
    a change of the schema that changes nothing of what is stored; some builds forbid it.
    """
    (version,) = db.execute("PRAGMA schema_version").fetchone()
    db.execute("BEGIN IMMEDIATE")
    db.execute("PRAGMA writable_schema = ON")
    try:
        db.execute(_PUT_TEXT, (wanted, _INDEX))
        db.execute(f"PRAGMA schema_version = {version + 1}")  # others read it anew
        db.execute("COMMIT")
    except sqlite3.OperationalError as error:
        db.rollback()
        _log.warning("journal_index_not_restated", error=str(error))
        return False
    finally:
        db.execute("PRAGMA writable_schema = RESET")  # this connection reads it anew
    return True


def _make_view(db: sqlite3.Connection, view: View) -> None:
    wanted = view_text(view)
    found = db.execute(_TEXT_OF, ("view", view.name)).fetchone()
    if found != (wanted,):
        drop = f"DROP VIEW IF EXISTS {view.name}"
        db.executescript(f"BEGIN IMMEDIATE; {drop}; {wanted}; COMMIT;")


def view_text(view: View) -> str:
    """The SQL of a view.

    The values are those of a subquery, so that what is shown can be made of them. SQLite takes
    the two for one query, and only works out what is asked for.
    """
    values = [f"{_value(column)} AS {column.name}" for column in view.columns if column.paths]
    shown = [
        column.name if column.shown is None else f"{column.shown} AS {column.name}"
        for column in view.columns
    ]
    outer = ",\n    ".join(["seq", "user_id", "event_id", *shown])
    inner = ",\n        ".join(["seq", "user_id", "event_id", "at", "body", "personal", *values])
    return (
        f"CREATE VIEW {view.name} AS\nSELECT\n    {outer}\nFROM (\n    SELECT\n        {inner}\n"
        f"    FROM log\n    WHERE kind = {literal(view.kind)} AND body <> ''\n)"
    )


def _value(column: Column) -> str:
    found = [f"json_extract({column.source}, {literal(path)})" for path in column.paths]
    if column.default is not None:
        found.append(column.default)
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


def literal(text: str) -> str:
    """A text as SQL."""
    quoted = text.replace("'", "''")
    return f"'{quoted}'"
