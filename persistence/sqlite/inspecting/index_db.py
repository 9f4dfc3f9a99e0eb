"""The index of a log, against the rows of that as they go by."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from messages.stored.form import Form
from persistence.chain.ranges import Ranges
from persistence.records import Row
from persistence.sqlite.blocks import Run
from persistence.sqlite.connection import is_unread
from persistence.sqlite.high_water_mark import mark_of
from persistence.sqlite.index_file import INDEX, VERSION, Held, Unusable, held
from persistence.sqlite.inspecting.definitions import check_index_definitions
from persistence.sqlite.inspecting.fault import NOTHING_SERVES, USERS_MAX, Fault
from persistence.sqlite.inspecting.index_runs import (
    Stored,
    Unknown,
    compared,
    is_of_file,
    stored_of,
    users_by_position,
)
from persistence.sqlite.inspecting.structure import answers, said
from persistence.sqlite.provenance import anchor_at
from persistence.sqlite.recent import RecentPositions

_LUMP: Final = 500
_OTHERS: Final = (
    "SELECT (SELECT count(*) FROM blocks WHERE run NOT IN (SELECT id FROM runs)),"
    " (SELECT count(*) FROM filters WHERE run NOT IN (SELECT id FROM runs))"
)


class IndexCheck:
    """Compares the index with rows that are shown to it.

    Args:
        log: a connection to the log.
        directory: the data directory.
        last: where the log ends.
        form: says what the index has of a row.
    """

    def __init__(self, log: sqlite3.Connection, directory: Path, last: int, form: Form) -> None:
        self._form = form
        self._faults = list[Fault]()
        self._runs = list[Run]()  # that are still to be compared
        self._known = list[Run]()
        self._users = (0, dict[int, str]())  # those of one run, by its number
        self._db = self._opened(directory / INDEX)
        if self._db is not None:
            self._look(self._db, log, directory, last)
        self._begin()

    def take(self, row: Row, *, whole: bool) -> None:
        """The next row; ``whole``: its body is as it was written."""
        while self._runs and row.seq > self._runs[0].last:
            self._end_run()
        if self._runs:
            self._lump.append(row if whole else row._replace(body=""))
            if not whole:
                self._bodies.add(row.seq)
            if len(self._lump) == _LUMP or row.seq == self._runs[0].last:
                self._rows.add(self._lump)
                self._lump.clear()

    def skip(self, first: int, last: int) -> None:
        """Rows of which the log does not say what they were."""
        while self._runs and first > self._runs[0].last:
            self._end_run()
        while self._runs and last >= self._runs[0].last:
            self._gaps.append(range(first, last + 1))
            self._end_run()
        if self._runs:
            self._gaps.append(range(first, last + 1))

    def users_of(self, first: int, last: int) -> Sequence[str]:
        """Whose rows are at these positions, as far as the index says, and no more than a few."""
        found = dict[str, None]()
        for run in self._known:
            if self._db is None or run.last < first or run.after >= last:
                continue
            if self._users[0] != run.id:
                self._users = (run.id, dict(users_by_position(stored_of(self._db, run))))
            users: Mapping[int, str] = self._users[1]
            for seq in range(max(first, run.after + 1), min(last, run.last) + 1):
                if seq in users:
                    found[users[seq]] = None
                if len(found) == USERS_MAX:
                    return [*found]
        return [*found]

    def faults(self) -> Iterator[Fault]:
        """What is wrong, once all rows were shown."""
        while self._runs:
            self._end_run()
        yield from self._faults
        if self._db is not None:
            self._db.close()

    def _opened(self, path: Path) -> sqlite3.Connection | None:
        """The file; one that is not there is made anew."""
        if not path.exists():
            return None
        if not path.stat().st_size:
            self._fault("the whole file", "it is empty")
            return None
        try:
            db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
        except sqlite3.Error as error:  # the disk does not give back the file's header
            if not is_of_file(error):
                raise
            self._fault("the whole file", "it cannot be read")
            return None
        db.isolation_level = None
        found = answers(db)
        if found:
            self._fault("its pages", said(found), field="structure")
        return db

    def _look(self, db: sqlite3.Connection, log: sqlite3.Connection, path: Path, last: int) -> None:
        """Find out which runs there are to compare."""
        try:
            db.execute("BEGIN")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if 0 < version < VERSION:
                return  # it is made anew by the next start
            self._faults += check_index_definitions(db)
            found = held(db, self._form)
            others, filters = db.execute(_OTHERS).fetchone()
        except Unusable as error:
            if "rare" not in str(error):  # else it is made anew by the next start
                self._fault("the whole file", str(error))
        except (sqlite3.Error, TypeError, ValueError) as error:  # UnicodeDecodeError is one
            if not is_of_file(error):
                raise
            self._fault("the whole file", "it cannot be read")
        else:
            if others:
                self._fault("the table blocks", f"{others:,} blocks of it are of no run")
            if filters:
                self._fault("the table filters", f"{filters:,} filters of it are of no run")
            if self._is_of_log(log, found, path, last):
                self._known = found.runs
                self._runs = [run for run in found.runs if run.last <= last]

    def _is_of_log(self, log: sqlite3.Connection, found: Held, path: Path, last: int) -> bool:
        # It may be newer than the log, as of the moment at which that is looked at.
        if not found.runs or last < found.last <= mark_of(path).seq:
            return True
        try:
            anchor = anchor_at(log, found.last)
        except sqlite3.Error as error:
            if not is_unread(error):
                raise
            return True  # nobody can tell
        if anchor != found.anchor:
            why = f"it is of another log: row {found.last:,} is not the one that it names"
            self._fault("the whole file", why)
            return False
        return True

    def _begin(self) -> None:
        self._rows = RecentPositions(self._form)
        self._lump = list[Row]()
        self._bodies = set[int]()
        self._gaps = list[range]()

    def _end_run(self) -> None:
        """Compare a run whose rows were all shown."""
        run = self._runs.pop(0)
        if self._lump:
            self._rows.add(self._lump)
        assert self._db is not None
        stored: Stored = stored_of(self._db, run)
        why = stored.why
        if not why:
            known = not self._bodies and not self._gaps
            unknown = None if known else Unknown(Ranges(self._gaps), self._bodies)
            why = compared(run, stored, self._rows, unknown)
        if why:
            first = run.after + 1
            self._fault(f"run {run.id} of rows {first} to {run.last}", why, (first, run.last))
        self._begin()

    def _fault(
        self, place: str, why: str, rows: tuple[int, int] | None = None, field: str = "index"
    ) -> None:
        first, last = rows or (None, None)
        self._faults.append(
            Fault(field, INDEX, place, why, NOTHING_SERVES, derived=True, first=first, last=last)
        )
