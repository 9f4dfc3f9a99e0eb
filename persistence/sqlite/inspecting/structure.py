"""The structure of a database, as SQLite itself checks it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from typing import Final

from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.inspecting.fault import MEND, MEND_BACKUP, Fault
from persistence.sqlite.inspecting.walk import is_unread

ANSWERS_MAX: Final = 100
_TREE: Final = re.compile(r"^Tree (\d+)\b")
_ON_INDEX: Final = re.compile(r"\bindex (\w+)")
_IN_TABLE: Final = re.compile(r"\bin table (\w+)|\b(?:value|constraint failed) (?:in )?(\w+)\.")
_SCHEMA: Final = "SELECT name, type, tbl_name, rootpage FROM sqlite_master"
_DERIVED: Final = frozenset({"snapshots"})


def check_structure(db: sqlite3.Connection) -> Iterator[Fault]:
    """Damages of the structure of the log's database, one for each table and index.

    Raises:
        sqlite3.Error: it cannot be read, for another reason than damage.
    """
    found = dict[str, list[str]]()
    indexes, names, tables = _known(db)
    for line in _answers(db):
        tree, index, table = _TREE.search(line), _ON_INDEX.search(line), _IN_TABLE.search(line)
        if tree:
            name = names.get(int(tree[1]), "")
        elif index:
            name = index[1]
        else:
            name = (table[1] or table[2]) if table else ""
        found.setdefault(name, []).append(line)
    for name, lines in found.items():
        index_of = name in indexes
        derived = index_of or tables.get(name) in _DERIVED
        place = f"the index {name}" if index_of else f"the table {name}" if name else "its pages"
        more = f", and {len(lines) - 1} more like it" if len(lines) > 1 else ""
        do = MEND if derived or not name else MEND_BACKUP
        yield Fault("structure", DATABASE, place, f"SQLite says: {lines[0]}{more}", do, derived)


def quick_check(db: sqlite3.Connection) -> list[str]:
    """What is wrong with the structure of a database, without a comparison of its indexes."""
    return list(_answers(db, "quick_check"))


def _answers(db: sqlite3.Connection, which: str = "integrity_check") -> Iterator[str]:
    texts = db.text_factory
    db.text_factory = _text  # what it says of a damaged text has it
    try:
        found = db.execute(f"PRAGMA main.{which}({ANSWERS_MAX})").fetchall()
    except sqlite3.Error as error:
        if not is_unread(error):
            raise
        found = [(f"{error}, while it checked",)]
    except UnicodeDecodeError:  # in the message of an error
        found = [("a name in the schema is not as it was written",)]
    finally:
        db.text_factory = texts
    for (answer,) in found:
        for line in answer.splitlines():
            if line != "ok" and not line.startswith("***"):
                yield line


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


def _known(db: sqlite3.Connection) -> tuple[set[str], dict[int, str], dict[str, str]]:
    """The names of indexes, what each tree is by its first page, and whose table it is of."""
    texts, db.text_factory = db.text_factory, _text
    try:
        found = db.execute(_SCHEMA).fetchall()
    except sqlite3.Error as error:
        if not is_unread(error):
            raise
        found = []
    finally:
        db.text_factory = texts
    indexes = {name for name, kind, _, _ in found if kind == "index"}
    return indexes, {page: name for name, _, _, page in found}, {row[0]: row[2] for row in found}
