"""The structure of a database, as SQLite itself checks it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from persistence.sqlite.connection import is_unread
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.inspecting.fault import MEND, Fault

ANSWERS_MAX: Final = 100
_ON_INDEX: Final = re.compile(r"\bindex (\w+)")
_NAME: Final = re.compile(r"\w+")
_DERIVED: Final = frozenset({"snapshots"})


def check_structure(db: sqlite3.Connection) -> Iterator[Fault]:
    """Damages of the structure of the log's database, one for each table and index.

    Raises:
        sqlite3.Error: it cannot be read, for another reason than damage.
    """
    whole = list(_answers(db))
    if not whole:
        return
    tables, indexes = _known(db)
    found = dict[str, list[str]]()
    for table in tables:
        for line in _answers(db, table):
            index = _ON_INDEX.search(line)
            name = index[1] if index and index[1] in indexes else table
            found.setdefault(name, []).append(line)
    for name, lines in (found or {"": whole}).items():
        derived = name in indexes or name in _DERIVED
        place = f"the table {name} or an index of it" if name else "its pages"
        if name in indexes:
            place = f"the index {name}"
        do = MEND if derived or not name else f"{MEND}, with --backup FILE if rows are named too"
        yield Fault("structure", DATABASE, place, said(lines), do, derived)


def answers(db: sqlite3.Connection) -> list[str]:
    """What is wrong with the structure of a database, in the words of SQLite; raises as above."""
    return list(_answers(db))


def _answers(db: sqlite3.Connection, table: str = "") -> Iterator[str]:
    """What is wrong, in the words of SQLite; of the whole database, or of one table."""
    asked = f"'{table}'" if table else f"{ANSWERS_MAX}"
    query = f"SELECT * FROM pragma_integrity_check({asked}) LIMIT {ANSWERS_MAX}"  # noqa: S608 -- of the schema
    # Python gives a row when SQLite has the next one, so that an error takes the one before away.
    found = list[tuple[str]]()
    for ask in (query, query.replace(f"LIMIT {ANSWERS_MAX}", "LIMIT 1")):
        try:
            with _any_text(db):
                found = db.execute(ask).fetchall()
            break
        except sqlite3.Error as error:
            if not is_unread(error):
                raise
            found = [("its check ended at a page that cannot be read",)]
        except UnicodeDecodeError:  # in the message of an error
            found = [("a name in the schema is not as it was written",)]
    for (answer,) in found:
        for line in answer.splitlines():
            if line != "ok" and not line.startswith("***"):
                yield line


def said(lines: list[str]) -> str:
    """What SQLite says, in one line."""
    more = f", and {len(lines) - 1} more like it" if len(lines) > 1 else ""
    return f"SQLite says: {lines[0]}{more}"


@contextmanager
def _any_text(db: sqlite3.Connection) -> Iterator[None]:
    """What SQLite says of a damaged text has it."""
    texts = db.text_factory
    db.text_factory = lambda stored: stored.decode("utf-8", "replace")
    try:
        yield
    finally:
        db.text_factory = texts


def _known(db: sqlite3.Connection) -> tuple[list[str], set[str]]:
    """The names of tables and of indexes."""
    try:
        found = db.execute("SELECT name, type FROM sqlite_master").fetchall()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if isinstance(error, sqlite3.Error) and not is_unread(error):
            raise
        found = []
    names = [(name, kind) for name, kind in found if _NAME.fullmatch(str(name))]
    tables = [name for name, kind in names if kind == "table"]
    return tables, {name for name, kind in names if kind == "index"}
