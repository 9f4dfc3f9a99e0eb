"""What the damaged bytes carry, and what is found by who looks at a directory from outside."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from actors.audit.verify import Verifier
from persistence.archive.files import DIRECTORY
from persistence.errors import JournalError
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.high_water_mark import MARK
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.inspection import Inspection
from persistence.sqlite.key_filter_store import FILE as KEYS
from tests.sweep.damages import GONE, OLD, Damage

BEHIND: Final = (MARK, INDEX, KEYS)
"""Files that may be missing or older: they say less then, and nothing wrong."""
LACKS: Final = "lacks"
_TABLES: Final = {
    DATABASE: (("log", "seq"), ("snapshots", "user_id")),
    INDEX: (("blocks", "id"),),
}
_UNSYNCED: Final = f"{INDEX}-wal"
"""It may end anywhere, after the power went."""


def verified(directory: Path) -> list[str]:
    """What `meterd verify` names on a directory that nobody holds."""
    found: list[str] = []
    try:
        with Inspection.open(directory) as log:
            Verifier(log, lambda it: found.append(str(it)), lambda _: None, None).run()
    except JournalError as error:
        found.append(str(error))
    return found


def is_lawful(damage: Damage) -> bool:
    """Whether a file may be so without any damage, so that nobody has to name it."""
    return damage.file == _UNSYNCED or (damage.file in BEHIND and damage.kind in {GONE, OLD})


def is_moved(damage: Damage) -> bool:
    """Whether a file of the archive is elsewhere, as it may be: it can come back at any time."""
    return damage.file.startswith(DIRECTORY) and damage.kind == GONE


def content_of(directory: Path, file: str) -> Any:
    """What a file says, whatever its unused bytes are; equal for two that say the same.

    A WAL says what the database says with it. None: it is no database any more, or gone.
    """
    name = file.removesuffix("-wal")
    if name not in {DATABASE, INDEX}:
        path = directory / file
        return path.read_bytes() if path.exists() else None
    path = directory / name
    try:
        with closing(_reader(path)) as db:
            return _rows(db)
    except (sqlite3.Error, ValueError):
        return None


def _rows(db: sqlite3.Connection) -> list[Any]:
    (sound,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    identity = "SELECT * FROM pragma_application_id, pragma_user_version"
    found: list[Any] = [sound, db.execute(identity).fetchall()]
    schema = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
    for kind, name, text in [*db.execute(schema)]:
        found.append((kind, name, text))
        if kind == b"table":
            found.append(db.execute(f"SELECT * FROM {name.decode()}").fetchall())
    return found


def columns_of(directory: Path, whole: Path, file: str) -> set[str]:
    """The columns in which some tables of two databases differ, if both can be read.

    If the first has fewer rows it is `LACKS` that differs.
    """
    found: set[str] = set()
    for table, key in _TABLES.get(file, ()):
        query = f"SELECT * FROM {table} ORDER BY {key}"
        try:
            with closing(_reader(directory / file)) as db, closing(_reader(whole / file)) as to:
                there, cursor = db.execute(query).fetchall(), to.execute(query)
                names, here = [column[0] for column in cursor.description], cursor.fetchall()
        except (sqlite3.Error, ValueError):
            continue
        if len(there) < len(here):
            found.add(f"{table}.{LACKS}")
        elif len(there) == len(here):
            for one, other in zip(there, here, strict=True):
                pairs = zip(names, one, other, strict=True)
                found |= {f"{table}.{name}" for name, x, y in pairs if x != y}
    return found


def _reader(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    db.text_factory = bytes
    return db
