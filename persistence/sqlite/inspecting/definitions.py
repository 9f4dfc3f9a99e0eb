"""The definitions in the schema of a database, against those that this version makes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final, TypeAlias

from messages.stored.form import Form
from persistence.sqlite import schema
from persistence.sqlite.connection import is_unread
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.derived import derive
from persistence.sqlite.index_file import INDEX, SCHEMA
from persistence.sqlite.inspecting.fault import MEND, NOTHING_SERVES, NOTHING_STARTS, Fault

_Make: TypeAlias = Callable[[sqlite3.Connection], object]
_TEXTS: Final = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"


def check_log_definitions(db: sqlite3.Connection, form: Form) -> Iterator[Fault]:
    """Definitions of the log's database that are other ones; what is missing is not looked for.

    Args:
        db: a connection to it.
        form: says which views there are.
    """

    def make(fresh: sqlite3.Connection) -> None:
        schema.migrate(fresh, 0)
        derive(fresh, form)

    for kind, name in _differing(db, make):
        do = NOTHING_STARTS if kind == "view" else MEND
        yield _fault(DATABASE, kind, name, do)


def other_definitions(db: sqlite3.Connection) -> list[str]:
    """The tables, indexes and triggers of a log of the newest schema that have another definition.

    Views are made anew at each start.
    """
    return [
        f"the {kind} {name}" for kind, name in _differing(db, lambda made: schema.migrate(made, 0))
    ]


def check_index_definitions(db: sqlite3.Connection) -> Iterator[Fault]:
    """The same of an index of this version."""
    for kind, name in _differing(db, lambda fresh: fresh.executescript(SCHEMA)):
        yield _fault(INDEX, kind, name, NOTHING_SERVES)


def _fault(file: str, kind: str, name: str, do: str) -> Fault:
    why = "its definition is not as it was written"
    return Fault("structure", file, f"the {kind} {name}", why, do, derived=True)


def _differing(db: sqlite3.Connection, make: _Make) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        make(fresh)
        made = {(kind, name): text for kind, name, text in fresh.execute(_TEXTS)}
    try:
        found = {(kind, name): text for kind, name, text in db.execute(_TEXTS)}
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if isinstance(error, sqlite3.Error) and not is_unread(error):
            raise
        return [("schema", "as a whole")]
    names = {name.lower(): name for _, name in found}
    return [
        (kind, name)
        for (kind, name), text in made.items()
        if name.lower() in names and found.get((kind, name)) != text
    ]
