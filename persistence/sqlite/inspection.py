"""A look at a log from outside, beside a running service: it reads, and only reads.

One transaction spans the whole look, so what it sees is the log as of one moment.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from persistence.archive.lookup import Archives, Lost
from persistence.chain.chain import LINK_BYTES, heads_as_bytes
from persistence.chain.check import ChainCheck, Heads
from persistence.errors import ArchiveGone, ArchiveUnreadable, Corrupt, Refused
from persistence.records import Row, Snapshot
from persistence.sqlite import schema
from persistence.sqlite.checked import COLUMNS
from persistence.sqlite.connection import read_error
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.heads import links_of, newest_heads
from persistence.sqlite.high_water_mark import compare, marked
from persistence.sqlite.positions import UNCHAINED, position_of, unchecked

_ROWS_AT_ONCE: Final = 1_000


class Written(NamedTuple):
    """A row with what makes it a part of the chain; ``whole``: its body could be read."""

    row: Row
    proof: bytes | None
    link: bytes | None
    whole: bool


class Inspection:
    """The log of a directory, as of the moment of its opening.

    Attributes:
        gone: of how many rows that `written` gave the file was not there, by its name. Such a row
            has an empty body.
        damaged: what is not as it was written of others, or cannot be read. Their rows have an
            empty body too.
    """

    def __init__(self, db: sqlite3.Connection, directory: Path) -> None:
        self.gone = Counter[str]()
        self.damaged = dict[str, None]()  # in order
        self._db = db
        self._archives = Archives(directory)
        self._archives.look(db)
        self._unchecked = unchecked(db)

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
            with ExitStack() as refused:
                db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
                refused.callback(db.close)
                db.isolation_level = None
                mark = marked(directory)  # before the log, which grows
                version = schema.check(db, path)
                compare(db, path, mark)
                if version < len(schema.migrations()):
                    raise Refused(f"{path} is of an older version: start the service once")
                db.execute("BEGIN")
                db.execute(
                    "SELECT count(*) FROM position"
                ).fetchone()  # the transaction begins here
                found = cls(db, directory)
                refused.pop_all()
        except (sqlite3.Error, ValueError) as error:  # ValueError: a text that is no UTF-8
            raise Refused(f"{path} cannot be read: {error}") from error
        return found

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

    def rows(self, after: int = 0, partitions: range | None = None) -> Iterator[Row]:
        """The rows behind a position, oldest first.

        With ``partitions``, which follow each other, only the rows of these.
        """
        query, args = f"SELECT {COLUMNS} FROM log WHERE seq > ?", [after]  # noqa: S608
        if partitions is not None:
            query += " AND partition BETWEEN ? AND ?"
            args += [partitions.start, partitions.stop - 1]
        for lump in self._lumps(f"{query} ORDER BY seq", args):
            yield from self._filled([Row._make((*row[:6], bool(row[6]), *row[7:])) for row in lump])

    def written(self) -> Iterator[Written]:
        """All rows, oldest first, with their links."""
        query = f"SELECT proof, chain, {COLUMNS} FROM log ORDER BY seq"  # noqa: S608
        for lump in self._lumps(query):
            rows = [Row._make((*row[2:8], bool(row[8]), *row[9:])) for row in lump]
            unread = set[int]()
            filled = self._filled(rows, partial(self._lost, unread))
            for (proof, stored, *_), row in zip(lump, filled, strict=True):
                link = stored[:LINK_BYTES] if isinstance(stored, bytes) else stored
                yield Written(row, proof, link, row.seq not in unread)

    def chain(self, kept: Sequence[Heads] = ()) -> ChainCheck:
        """What follows the chain of this log; ``kept`` are links that others kept of it.

        Raises:
            Corrupt: what the log keeps of its links cannot be read.
        """
        with _translated():
            notes = self._db.execute("SELECT seq, links FROM heads ORDER BY seq").fetchall()
        try:
            begin, *later = (Heads(*note) for note in notes)
            begin = begin._replace(links=links_of(*begin[:2], begin.seq))
            whole = [one._replace(links=links_of(*one[:2], self._unchecked)) for one in later]
            return ChainCheck(position_of(self._db, UNCHAINED), begin, [*whole, *kept])
        except (TypeError, ValueError) as error:
            raise Corrupt(f"the log's own note of its links cannot be read: {error}") from error

    def newest_heads(self) -> Heads:
        """The newest link of each partition.

        Raises:
            Corrupt: what the log keeps of them cannot be read.
        """
        try:
            with _translated():
                (seq,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()
                return Heads(int(seq), heads_as_bytes(newest_heads(self._db, self._unchecked)))
        except (IndexError, TypeError, ValueError) as error:
            raise Corrupt(str(error)) from error

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

    def _filled(self, rows: list[Row], lost: Lost = lambda *_: None) -> list[Row]:
        """Rows with their bodies, as far as these can be read."""
        if rows[0].seq > self._archives.last:
            return rows
        elsewhere = [row.seq for row in rows if row.body == ""]
        found = self._archives.bodies(self._db, elsewhere, lost)
        return [row._replace(body=found.get(row.seq, row.body)) for row in rows]

    def _lost(
        self, unread: set[int], name: str, error: ArchiveUnreadable, positions: Sequence[int]
    ) -> None:
        unread.update(positions)
        if isinstance(error, ArchiveGone):
            self.gone[name] += len(positions)
        else:
            self.damaged[str(error)] = None

    def _lumps(self, query: str, args: Sequence[int] = ()) -> Iterator[list[Any]]:
        with _translated():
            found = self._db.execute(query, args)
            while lump := found.fetchmany(_ROWS_AT_ONCE):
                yield lump


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise read_error(error, DATABASE) from error
