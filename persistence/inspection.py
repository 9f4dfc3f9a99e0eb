"""A look at a log from outside, beside a running service: it reads, and only reads.

One transaction spans the whole look, so what it sees is the log as of one moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from persistence import schema
from persistence.chain import START, link
from persistence.connection import read_error
from persistence.datadir import DATABASE
from persistence.errors import Refused
from persistence.journal import Row, Snapshot

_ROWS_AT_ONCE: Final = 1_000
_COLUMNS: Final = "seq, partition, user_id, event_id, kind, at, notify, body, personal"


class Broken(NamedTuple):
    """Rows that are not as they were written: one of ``first`` to ``last``, or one missing."""

    first: int
    last: int
    why: str


class Inspection:
    """The log of a directory, as of the moment of its opening."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Look at the log of a directory.

        Raises:
            Refused: there is none, or not one that this version can read.
        """
        path = directory / DATABASE
        if not path.exists():
            raise Refused(f"there is no {path}")
        try:
            db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
            db.isolation_level = None
            version = schema.check(db, path)
            if version < len(schema.migrations()):
                raise Refused(f"{path} is of an older version: start the service once")
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM position").fetchone()  # the transaction begins here
        except sqlite3.Error as error:
            raise Refused(f"{path} cannot be read: {error}") from error
        return cls(db)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def size(self) -> tuple[int, int]:
        """The newest position, and how many rows there are."""
        with _translated():
            last, count = self._db.execute(
                "SELECT coalesce(max(seq), 0), count(*) FROM log"
            ).fetchone()
        return int(last), int(count)

    def rows(
        self, after: int = 0, partitions: range | None = None
    ) -> Iterator[tuple[Row, bytes | None]]:
        """The rows behind a position, oldest first, each with its link of the chain or None.

        With ``partitions``, which follow each other, only the rows of these.
        """
        query, args = f"SELECT {_COLUMNS}, chain FROM log WHERE seq > ?", [after]  # noqa: S608
        if partitions is not None:
            query += " AND partition BETWEEN ? AND ?"
            args += [partitions.start, partitions.stop - 1]
        with _translated():
            found = self._db.execute(f"{query} ORDER BY seq", args)
            while lump := found.fetchmany(_ROWS_AT_ONCE):
                for row in lump:
                    yield Row._make((*row[:6], bool(row[6]), *row[7:9])), row[9]

    def repeated_keys(self) -> Iterator[tuple[str, str, int]]:
        """Keys that more than one row of a user has: user, key and how many rows."""
        with _translated():
            yield from self._db.execute(
                "SELECT user_id, event_id, count(*) FROM log WHERE event_id IS NOT NULL"
                " GROUP BY user_id, event_id HAVING count(*) > 1"
            )

    def snapshots(self, partitions: range) -> dict[str, Snapshot]:
        """The newest snapshot of each user of some partitions, which follow each other."""
        with _translated():
            found = self._db.execute(
                "SELECT partition, user_id, seq, schema, body FROM snapshots"
                " WHERE partition BETWEEN ? AND ?",
                (partitions.start, partitions.stop - 1),
            )
            return {row[1]: Snapshot(*row) for row in found}

    def unchained(self) -> int:
        """The newest position that is older than the chain."""
        with _translated():
            found = self._db.execute("SELECT seq FROM position WHERE name = 'unchained'").fetchone()
        return int(found[0]) if found else 0


class ChainCheck:
    """Follows the chain over rows that are shown to it in order.

    Args:
        unchained: rows up to here have no link.
    """

    def __init__(self, unchained: int) -> None:
        self._unchained = unchained
        self._before = START
        self._block: list[Row] = []

    def take(self, row: Row, stored: bytes | None) -> Broken | None:
        """Look at the next row; what is broken where a block that it ends is."""
        if row.seq <= self._unchained:
            return None
        self._block.append(row)
        if stored is None:
            return None
        block, self._block = self._block, []
        expected = link(self._before, block)
        self._before = bytes(stored)  # so that the blocks after it are judged by themselves
        if expected == stored:
            return None
        return Broken(block[0].seq, row.seq, "not as it was written")

    def end(self) -> Broken | None:
        """What is broken at the end of the log."""
        if not self._block:
            return None
        return Broken(self._block[0].seq, self._block[-1].seq, "rows behind it are missing")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise read_error(error) from error
