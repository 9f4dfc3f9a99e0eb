"""The file of the index, as far as SQLite can tell of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from persistence.sqlite.index_file import INDEX
from persistence.sqlite.inspecting.fault import NOTHING_SERVES, Fault
from persistence.sqlite.inspecting.structure import quick_check, said


def check_index_structure(directory: Path) -> Iterator[Fault]:
    """What is wrong with the structure of the index; one that is not there is made anew."""
    path = directory / INDEX
    if not path.exists() or not path.stat().st_size:
        return
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=10)) as db:
            found = quick_check(db)
    except sqlite3.Error as error:
        found = [f"{error}, when it was opened"]
    if found:
        why = said(found)
        yield Fault("structure", INDEX, "its pages", why, NOTHING_SERVES, derived=True)
