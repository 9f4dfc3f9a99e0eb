"""What the schema has of the code and not of a migration: the views.

They are no data. They follow from what the owner says of the rows (`Form`), so they are looked at
when a log is opened, and replaced if they say something else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from messages.stored.form import Form
from messages.stored.view import Column, View

_TEXT_OF: Final = "SELECT sql FROM sqlite_master WHERE type = ? AND name = ?"


def derive(db: sqlite3.Connection, form: Form) -> None:
    """Make the views what the form says."""
    for view in form.views:
        _make_view(db, view)


def rare(common: Sequence[str]) -> str:
    """The condition of rows of rare kinds.

    SQLite stops at the first kind that fits, so the most common kind costs one comparison; to look
    through a list takes 0.8 us.
    """
    return " AND ".join(f"kind <> {literal(kind)}" for kind in common)


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
