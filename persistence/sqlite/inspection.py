"""A look at a log from outside, beside a running service: it reads, and only reads.

One transaction spans the whole look, so what it sees is the log as of one moment.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from messages.stored.form import Form
from persistence.archive.lookup import Archives
from persistence.chain.chain import heads_as_bytes
from persistence.chain.check import ChainCheck, Heads
from persistence.errors import Corrupt, Refused
from persistence.records import Row, Snapshot
from persistence.sqlite import schema
from persistence.sqlite.connection import is_damage, is_unread, read_error
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.heads import newest_heads
from persistence.sqlite.high_water_mark import Mark, compare, mark_of
from persistence.sqlite.inspecting.archive_files import check_archive_files
from persistence.sqlite.inspecting.definitions import check_log_definitions
from persistence.sqlite.inspecting.derived import DerivedCheck
from persistence.sqlite.inspecting.fault import MEND_BACKUP, Fault
from persistence.sqlite.inspecting.notes import Notes, check_ends, read_notes
from persistence.sqlite.inspecting.rows import LogRows, Look, Seen
from persistence.sqlite.inspecting.snapshots import check_snapshots, read_snapshots
from persistence.sqlite.inspecting.structure import check_structure
from persistence.sqlite.positions import unchecked

_EVER: Final = 1 << 62
_REPEATED: Final = (
    "SELECT user_id, event_id, count(*) FROM log WHERE event_id IS NOT NULL"
    " GROUP BY user_id, event_id HAVING count(*) > 1"
)


class Written(NamedTuple):
    """A row with what makes it a part of the chain; ``whole``: its body could be read."""

    row: Row
    proof: bytes | None
    link: bytes | None
    whole: bool


class Inspection:
    """The log of a directory, as of the moment of its opening.

    Attributes:
        directory: the directory.
    """

    def __init__(self, db: sqlite3.Connection, directory: Path, mark: Mark) -> None:
        self.directory = directory
        self._db = db
        self._mark = mark

    @classmethod
    def open(cls, directory: Path, *, whole: bool = True) -> Self:
        """Look at the log of a directory.

        Args:
            directory: the directory.
            whole: whether one that has lost its end is refused.

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
                mark = mark_of(directory)  # before the log, which grows
                version = schema.check(db, path)
                if whole and mark.seq:
                    compare(db, path, mark.seq)
                if version < len(schema.migrations()):
                    raise Refused(f"{path} is of an older version: start the service once")
                db.execute("BEGIN")
                db.execute("SELECT 1 FROM sqlite_master").fetchone()  # the transaction begins here
                found = cls(db, directory, mark)
                refused.pop_all()
        except (sqlite3.Error, ValueError) as error:  # ValueError: a text that is no UTF-8
            if isinstance(error, ValueError) or is_damage(error):
                raise Refused(
                    f"{path} cannot be opened, since its first pages or its WAL are damaged:"
                    f" {MEND_BACKUP}"
                ) from error
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

    @cached_property
    def notes(self) -> Notes:
        """What the log keeps beside its rows."""
        with _translated():
            return read_notes(self._db, self._mark.seq)

    @cached_property
    def _rows(self) -> LogRows:
        archives = Archives(self.directory)
        with _translated():
            try:
                archives.look(self._db)
            except sqlite3.Error as error:
                if not is_unread(error):
                    raise
                archives.last = _EVER  # each row without a body is looked for
            if not str(archives.last).isdecimal():  # of another type than ever written
                archives.last = _EVER
            return LogRows(self._db, archives, self.notes.unchecked, self.notes.last)

    @property
    def gone(self) -> Counter[str]:
        """Of how many rows that were seen the file was not there, by its name.

        Such a row has an empty body.
        """
        return self._rows.gone

    @property
    def damaged(self) -> dict[str, list[int]]:
        """What is not as it was written of other files, or cannot be read: first and last row.

        These have an empty body too.
        """
        return self._rows.damaged

    def size(self) -> tuple[int, int]:
        """The newest position, and how many rows there are; about, if they cannot be counted."""
        with _translated():
            query = "SELECT coalesce(max(seq), 0), count(*) FROM log"
            try:
                last, count = self._db.execute(query).fetchone()
            except sqlite3.Error as error:
                if not is_unread(error):
                    raise
                last = count = self.notes.last
        return int(last), int(count)

    def rows(self, after: int = 0, partitions: range | None = None) -> Iterator[Row]:
        """The rows behind a position that can be read, oldest first.

        With ``partitions``, which follow each other, only the rows of these.
        """
        with _translated():
            yield from self._rows.rows(after, partitions)

    def seen(self) -> Iterator[Look]:
        """All rows, oldest first, with what their checksums say; and where none could be read."""
        with _translated():
            yield from self._rows.seen()

    def written(self) -> Iterator[Written]:
        """All rows that can be read, oldest first, with their links."""
        for look in self.seen():
            if isinstance(look, Seen):
                yield Written(look.row, look.proof, look.link, look.whole)

    def chain(self, kept: Sequence[Heads] = ()) -> ChainCheck:
        """What follows the chain of this log; ``kept`` are links that others kept of it."""
        notes = self.notes
        if notes.begin is None:  # rows of before links of their own cannot be followed
            check = ChainCheck(
                notes.unchecked, Heads(notes.unchecked, b""), [*notes.heads, *kept], notes.losses
            )
            check.doubt()
            return check
        return ChainCheck(notes.unchained, notes.begin, [*notes.heads, *kept], notes.losses)

    def newest_heads(self) -> Heads:
        """The newest link of each partition.

        Raises:
            Corrupt: what the log keeps of them cannot be read.
        """
        try:
            with _translated():
                (seq,) = self._db.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()
                heads = newest_heads(self._db, unchecked(self._db))
                return Heads(int(seq), heads_as_bytes(heads))
        except (IndexError, TypeError, ValueError) as error:
            raise Corrupt(str(error)) from error

    def repeated_keys(self) -> Iterator[tuple[str, str, int]]:
        """Keys that more than one row of a user has: user, key and how many rows."""
        with _translated():
            try:
                yield from self._db.execute(_REPEATED)
            except sqlite3.Error as error:
                if not is_unread(error):
                    raise
                yield from self._repeated_of_those_that_can_be_read()

    def _repeated_of_those_that_can_be_read(self) -> Iterator[tuple[str, str, int]]:
        with closing(sqlite3.connect("")) as beside:  # in a file of SQLite's own, if it is large
            beside.execute("CREATE TABLE log (user_id, event_id)")
            for lump in self._rows.users_and_keys():
                beside.executemany("INSERT INTO log VALUES (?, ?)", lump)
            yield from beside.execute(_REPEATED)

    def snapshots(self, partitions: range) -> dict[str, Snapshot]:
        """The newest snapshot of each user of some partitions, which follow each other.

        Those that cannot be read are left out.
        """
        with _translated():
            return read_snapshots(self._db, partitions)

    def structure(self, form: Form) -> Iterator[Fault]:
        """What is wrong with the structure of the database; ``form`` says which views it has."""
        with _translated():
            yield from check_structure(self._db)
            yield from check_log_definitions(self._db, form)

    def beside(self, last: int) -> Iterator[Fault]:
        """What is wrong with positions, the mark, snapshots as a table, and archives.

        Args:
            last: where the log ends.
        """
        with _translated():
            yield from self.ends(last)
            yield from check_snapshots(self._db)
            yield from check_archive_files(self._db, self.directory)

    def ends(self, last: int) -> Iterator[Fault]:
        """What is wrong with positions, the newest links and the mark alone; as `beside`."""
        yield from self.notes.faults
        yield from check_ends(self.notes, last, self._mark)

    def derived(self, form: Form) -> DerivedCheck:
        """What compares derived files with rows; ``form`` says what they have of a row."""
        with _translated():
            return DerivedCheck(self._db, self.directory, self.size()[0], form)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise read_error(error, DATABASE) from error
