"""Where rows are taken from: the damaged log as SQLite reads it, and backups."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from persistence.chain.chain import heads_of_bytes
from persistence.chain.losses import Loss, Losses
from persistence.errors import Damaged, Refused
from persistence.sqlite import schema
from persistence.sqlite.checked import FIELDS
from persistence.sqlite.connection import is_damage
from persistence.sqlite.heads import links_of
from persistence.sqlite.losses import entries_of
from persistence.sqlite.mending.candidates import Candidate, Torn, candidate
from persistence.sqlite.positions import UNCHAINED, position_of
from persistence.sqlite.positions import unchecked as unchecked_of

_ROWS_AT_ONCE: Final = 1_000
_CHAIN_OF_BLOCKS: Final = 2
"""From this schema on rows have links, one for each block."""
CHAIN_OF_ROWS: Final = 6
"""From this schema on each has one."""
LOSSES: Final = 11
"""From this schema on there is a table of accepted losses."""

_T = TypeVar("_T")


class Begin(NamedTuple):
    """Where the links of single rows begin: behind which position, and on what they build."""

    seq: int
    links: bytes


class Source:
    """A database with rows of the log, as SQLite reads it.

    Args:
        path: the file; its WAL counts too.
        name: as people are told of it.
        is_backup: whether the operator named it; else it is what is to be mended.

    Attributes:
        name: see above.
        path: see above.
        schema: that of its tables: the number of a migration that brought one.
        last: its newest position, 0 if that cannot be read.
        is_readable: whether SQLite can read any of it.
        flaws: what of it is not as it was written, beside its rows.
        begin: where links of single rows begin, None if that cannot be read.
        unchecked: rows up to here may have no checksum, None if that cannot be read.
        unchained: rows up to here have no link.
        losses: what was accepted before, as far as it can be read.

    Raises:
        Refused: it is another program's, or of a newer meterd.
        sqlite3.Error: it cannot be opened, and not since it is damaged.
    """

    def __init__(self, path: Path, name: str, *, is_backup: bool) -> None:
        self.path = path
        self.name = name
        self.flaws: list[str] = []
        self.schema = LOSSES
        self.is_readable = False
        self._db: sqlite3.Connection | None = None
        self._fields = FIELDS
        self._open(is_backup=is_backup)
        self.last = self.ask("the end of the log", _last, 0)
        self.losses = self._losses()
        self.unchained = self._unchained()
        self.unchecked = self._unchecked()
        self.begin = self.ask("the links", self._begin, None)

    def close(self) -> None:
        """Close the database."""
        if self._db is not None:
            self._db.close()

    def ask(self, what: str, function: Callable[[sqlite3.Connection], _T], otherwise: _T) -> _T:
        """What a function reads; something else if it cannot, which is a flaw."""
        if self._db is None:
            return otherwise
        try:
            return function(self._db)
        except (sqlite3.Error, Damaged, ValueError, TypeError) as error:
            self.flaws.append(f"{what}: {error}")
            return otherwise

    def position(self, name: str) -> int | None:
        """A position, 0 if it was never put, None if it cannot be read, which is a flaw."""

        def read(db: sqlite3.Connection) -> int:
            if self.schema >= schema.CHECKSUMS:
                return position_of(db, name)
            if not columns_of(db, "position"):
                return 0
            found = db.execute("SELECT seq FROM position WHERE name = ?", (name,)).fetchone()
            return int(found[0]) if found else 0

        return self.ask(f"the position {name!r}", read, None)

    def rows(self, last: int, first: int = 1) -> Iterator[Candidate | Torn]:
        """What it has from one position to another, in order; what cannot be read is left out."""
        if self._db is None:
            return
        before = 0
        for begin in range(first, last + 1, _ROWS_AT_ONCE):
            for found in self._read(begin, min(begin + _ROWS_AT_ONCE - 1, last)):
                one = candidate(found)
                seq = one.row.seq if isinstance(one, Candidate) else one.seq if one else 0
                if one is not None and seq > before:  # what is damaged may come out of order
                    before = seq
                    yield one

    def _read(self, first: int, last: int) -> list[tuple[Any, ...]]:
        assert self._db is not None
        query = f"SELECT {self._fields} FROM log WHERE seq >= ? AND seq <= ? ORDER BY seq"  # noqa: S608 -- text of this module
        try:
            return self._db.execute(query, (first, last)).fetchall()
        except sqlite3.Error:
            if first == last:
                return []
        middle = (first + last) // 2
        return [*self._read(first, middle), *self._read(middle + 1, last)]

    def structure(self) -> list[str]:
        """What SQLite itself says is wrong with the file."""
        found = self.ask("the structure", _integrity, ["it cannot be read"])
        return [] if found == ["ok"] else found

    def _open(self, *, is_backup: bool) -> None:
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        try:
            db = sqlite3.connect(uri, uri=True, isolation_level=None)
        except sqlite3.Error as error:  # the disk does not give back the file's header
            if not is_damage(error):
                raise
            self.flaws.append(str(error))
            return
        # Else a text that is no UTF-8 would keep all rows that are read with it from being read.
        db.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        try:
            self._look(db, is_backup=is_backup)
        except (sqlite3.Error, ValueError) as error:  # ValueError: a text that is no UTF-8
            self.flaws.append(str(error))
            db.close()
        except BaseException:
            db.close()
            raise
        else:
            self._db, self.is_readable = db, True

    def _look(self, db: sqlite3.Connection, *, is_backup: bool) -> None:
        """Learn the schema, from the tables: a number may be damaged, too."""
        said = schema.version_of(db, self.path, is_ours=not is_backup)
        db.execute("BEGIN")
        columns = columns_of(db, "log")
        if not columns:
            raise sqlite3.DatabaseError("it has no log")
        if columns_of(db, "losses"):
            self.schema = LOSSES
        elif "checksum" in columns_of(db, "position"):
            self.schema = schema.CHECKSUMS
        elif columns_of(db, "heads"):
            self.schema = CHAIN_OF_ROWS
        else:
            self.schema = _CHAIN_OF_BLOCKS if "chain" in columns else 1
        if said < self.schema:
            self.flaws.append("the number of its schema")
        for name in ("proof", "chain"):  # of schemas before there were such
            if name not in columns:
                self._fields = self._fields.replace(name, f"NULL AS {name}")

    def _losses(self) -> Losses:
        found: list[Loss] = []

        def read(db: sqlite3.Connection) -> None:
            for one in entries_of(db):
                if isinstance(one, Loss):
                    found.append(one)
                else:
                    self.flaws.append(str(one))

        self.ask("the accepted losses", read, None)
        return Losses(found)

    def _unchained(self) -> int:
        if self.schema < _CHAIN_OF_BLOCKS:
            return self.last
        return self.position(UNCHAINED) or 0

    def _unchecked(self) -> int | None:
        if self.schema < schema.CHECKSUMS:
            return self.last
        return self.ask("a position", unchecked_of, None)

    def _begin(self, db: sqlite3.Connection) -> Begin | None:
        if self.schema >= CHAIN_OF_ROWS:
            found = db.execute("SELECT seq, links FROM heads ORDER BY seq LIMIT 1").fetchone()
            if found is None:
                raise ValueError("there are none")
            seq, links = found
            return Begin(int(seq), links_of(seq, links, seq))
        if self.schema < _CHAIN_OF_BLOCKS:
            return Begin(self.last, b"")
        query = "SELECT chain FROM log ORDER BY seq DESC LIMIT 1"
        (newest,) = db.execute(query).fetchone() or (None,)
        return Begin(self.last, newest or b"")


def begin_of(sources: list[Source]) -> tuple[Begin, list[bytes]]:
    """Where links of single rows begin, by the first source that knows it.

    Raises:
        Refused: what it says cannot be used.
    """
    begin = next((one.begin for one in sources if one.begin is not None), Begin(0, b""))
    try:
        return begin, heads_of_bytes(begin.links)
    except ValueError as error:
        raise Refused(str(error)) from error


def backup(path: Path) -> Source:
    """A backup.

    Raises:
        Refused: it is not there, or no log that this version can read.
    """
    if not path.is_file():
        raise Refused(f"there is no {path}")
    try:
        return Source(path, str(path), is_backup=True)
    except sqlite3.Error as error:
        raise Refused(f"{path} cannot be read: {error}") from error


def _last(db: sqlite3.Connection) -> int:
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()
    return int(last)


def columns_of(db: sqlite3.Connection, table: str) -> list[str]:
    """The names of a table's columns; none if there is no such table."""
    return [name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def _integrity(db: sqlite3.Connection) -> list[str]:
    return [str(line) for (line,) in db.execute("PRAGMA integrity_check(20)")]
