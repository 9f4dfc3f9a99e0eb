"""Places in the files of a directory that are known to matter, found by reading the files."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from persistence.sqlite.data_dir import DATABASE

PAGE: Final = 4096
_WAL_HEADER: Final = 32
_FRAME: Final = PAGE + 24
_SALTS: Final = slice(8, 16)
"""Of a frame: the same as those of the WAL's header, if the frame is not of an older round."""
_FIRST_PAGE: Final = 100
"""Where the tree begins in the first page of a database."""
_LEAVES: Final = (0x0A, 0x0D)


class Place(NamedTuple):
    """A byte that is known to matter.

    Attributes:
        at: where it is in ``meterd.db``.
        user: whose it is.
        seq: of the row, or of the newest row that a snapshot reflects.
    """

    at: int
    user: str
    seq: int


def committed_frames(wal: bytes) -> list[int]:
    """Where the frames begin that a start takes in: all up to the last one that commits."""
    found: list[int] = []
    last = 0
    for at in range(_WAL_HEADER, len(wal) - _FRAME + 1, _FRAME):
        header = wal[at : at + 24]
        if header[_SALTS] != wal[16:24]:
            break
        found.append(at)
        if int.from_bytes(header[4:8], "big"):  # the size of the database behind a commit
            last = len(found)
    return found[:last]


def leaves(database: bytes) -> list[int]:
    """Where the leaves begin that the most pages are of: of tables, or of indexes."""
    found = defaultdict(list)
    for at in range(PAGE, len(database), PAGE):
        kind, cells = database[at], int.from_bytes(database[at + 3 : at + 5], "big")
        if kind in _LEAVES and cells > 1:
            found[kind].append(at)
    return max(found.values(), key=len)


def of_a_row(directory: Path) -> Place:
    """A byte of a call's body, behind which its user has a snapshot."""
    query = (
        "SELECT user_id, log.seq, log.body FROM log JOIN snapshots USING (user_id)"
        " WHERE kind = 'usage' AND log.seq < snapshots.seq AND length(log.body) > 60"
        " ORDER BY log.seq DESC"
    )
    return _first_in_database(directory, query)


def of_a_snapshot(directory: Path) -> Place:
    """A byte of a number in a snapshot."""
    query = "SELECT user_id, seq, substr(body, 1, 200) FROM snapshots ORDER BY user_id"
    return _first_in_database(directory, query)


def _first_in_database(directory: Path, query: str) -> Place:
    """The last digit of the first of these texts that lies in one page, which no WAL replaces."""
    content = (directory / DATABASE).read_bytes()
    wal = (directory / f"{DATABASE}-wal").read_bytes()
    replaced = {int.from_bytes(wal[at : at + 4], "big") for at in committed_frames(wal)}
    for user, seq, body in _rows(directory, query):
        text: bytes = body if isinstance(body, bytes) else body.encode()
        at = content.find(text)
        number = max((n for n, byte in enumerate(text) if byte in b"0123456789"), default=-1)
        if at >= 0 <= number and content.count(text) == 1 and at // PAGE + 1 not in replaced:
            return Place(at + number, user, seq)
    raise AssertionError("nothing of it is in the database alone")


def _rows(directory: Path, query: str) -> list[Any]:
    path = directory / DATABASE
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()
