"""Rows that were found page by page, put in order on the disk: any number of them, anywhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final

from persistence.records import Snapshot
from persistence.sqlite.checked import FIELDS
from persistence.sqlite.data_dir import wal_of
from persistence.sqlite.mending.candidates import Candidate, Torn, candidate
from persistence.sqlite.mending.pages import Pages, Value

SCRATCH: Final = "meterd.db.salvaged"
"""What was found, while a mend needs it."""
_COLUMNS: Final = 11
_SNAPSHOT: Final = 6
_MAKE: Final = f"""
CREATE TABLE found (origin INTEGER, {FIELDS},
    PRIMARY KEY (origin, seq, chain, body, personal)) WITHOUT ROWID
"""  # text of this module
_PUT: Final = f"INSERT OR IGNORE INTO found VALUES ({', '.join('?' * 12)})"  # noqa: S608 -- as above
_GET: Final = f"SELECT {FIELDS} FROM found WHERE origin = ? AND seq <= ? ORDER BY seq"  # noqa: S608 -- text of this module
_NOTHING: Final = "-"
"""For NULL, which a primary key takes more than once; nothing of ours is that text."""


class Salvage:
    """What was found.

    Args:
        directory: of the log; a file in it is used meanwhile.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / SCRATCH
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)  # rows have personal fields
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_MAKE};")
        path.unlink()  # it is gone with the process, however that ends
        self._origins = 0

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def look(
        self, database: Path, wanted: Callable[[int], bool], begin: int
    ) -> tuple[Callable[[int], Iterator[Candidate | Torn]], int]:
        """Look at each page of a database.

        Args:
            database: the file; its WAL counts too.
            wanted: which positions are looked for.
            begin: nothing proves rows up to here, so none of them is taken.

        Returns:
            What gives the rows up to a position, in order, and the newest position.

        Raises:
            OSError: it cannot be read.
            sqlite3.Error: what was found cannot be written.
        """
        origin, last = self._origins, 0
        self._origins += 1
        self._db.execute("BEGIN")
        with closing(Pages(database, wal_of(database))) as pages:
            for rowid, fields in pages.cells(wanted):
                found = _in_order(rowid, fields)
                one = candidate(found)
                if isinstance(one, Torn):
                    found[7:10] = [None] * 3  # body, personal and proof may be of any type
                elif one is None or not (one.is_stamped or one.row.seq > begin):
                    continue
                last = max(last, rowid)
                self._put(origin, found)
        self._db.execute("COMMIT")
        return partial(self._rows, origin), last

    def _put(self, origin: int, found: list[Value]) -> None:
        *first, body, personal, proof, chain = found
        rest = (_NOTHING if value is None else value for value in (body, personal))
        self._db.execute(_PUT, (origin, *first, *rest, proof, chain or b""))

    def _rows(self, origin: int, last: int) -> Iterator[Candidate | Torn]:
        for *first, body, personal, proof, chain in self._db.execute(_GET, (origin, last)):
            rest = (None if value == _NOTHING else value for value in (body, personal))
            one = candidate([*first, *rest, proof, chain])
            if one is not None:
                yield one


def snapshots(database: Path) -> Iterator[Snapshot]:
    """What may be snapshots in the pages of a database: whoever takes one has to look at it.

    Raises:
        OSError: it cannot be read.
    """
    with closing(Pages(database, wal_of(database))) as pages:
        for _, fields in pages.cells(lambda rowid: rowid > 0):
            found = _snapshot(fields)
            if found is not None:
                yield found


def _snapshot(fields: list[Value]) -> Snapshot | None:
    if len(fields) != _SNAPSHOT:
        return None
    _, partition, user, seq, schema, body = fields
    numbers = type(partition) is int and type(seq) is int and type(schema) is int
    if not (numbers and type(user) is str and type(body) is bytes):
        return None
    with suppress(UnicodeEncodeError):
        user.encode()
        return Snapshot(partition, user, seq, schema, body)  # type: ignore[arg-type]
    return None


def _in_order(rowid: int, fields: list[Value]) -> list[Value]:
    """The fields of a record of the log, as `checked.FIELDS` has them.

    The table got its last columns later, so they stand in the order in which it got them.
    """
    whole: list[Value] = [*fields[:_COLUMNS], *[None] * (_COLUMNS - len(fields))]
    whole[0] = rowid
    whole[9], whole[10] = whole[10], whole[9]
    return whole
