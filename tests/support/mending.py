"""A log in which everything occurs, its backups, and what is left of it after a mend."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from messages.stored.form import FORM
from persistence.chain.check import Broken, ChainCheck, Heads
from persistence.chain.losses import Losses
from persistence.records import Row, Snapshot
from persistence.sqlite.backup import back_up
from persistence.sqlite.checked import FIELDS
from persistence.sqlite.heads import links_of
from persistence.sqlite.journal import SQLiteJournal
from persistence.sqlite.losses import losses_of
from persistence.sqlite.mending.mend import mend
from persistence.sqlite.mending.report import Report
from persistence.sqlite.positions import UNCHAINED, position_of, unchecked
from tests.support.rows import make_row, make_snapshot

NOW: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
PAGE: Final = 4096
ROWS: Final = 480
ARCHIVED: Final = 120
MIDDLE: Final = 300
"""The backup of the middle has rows up to here."""
FORGOTTEN: Final = "user-3"
"""Is forgotten behind the backup of the middle; `ERASED_BEFORE` was before."""
ERASED_BEFORE: Final = "user-2"
SECRET: Final = "10.20.30.40"
DATABASE: Final = "meterd.db"
KINDS: Final = {2: "inner page of an index", 5: "inner page", 10: "leaf of an index", 13: "leaf"}

Fresh: TypeAlias = Callable[[Path], Path]
"""Copies a directory to where it may be damaged."""


class Made(NamedTuple):
    """The log and its backups.

    Attributes:
        data: the directory, as it is when the service was killed: the newest rows are in the WAL.
        closed: the same, as a service left it that was stopped.
        middle: a backup of the middle.
        newest: a backup of the end.
        rows: what the table `log` has, in the order of `FIELDS`.
    """

    data: Path
    closed: Path
    middle: Path
    newest: Path
    rows: list[tuple[Any, ...]]


def usage(seq: int) -> Row:
    """A row of one of nine users: of some more than a page can take, of some personal fields."""
    filler = "x" * (9_000 if seq % 47 == 0 else seq % 60)
    return make_row(
        seq,
        f"user-{seq % 9}",
        key=f"k{seq}",
        kind="reset" if seq % 50 == 0 else "usage",
        notify=seq % 37 == 0,
        body=f'{{"n":{seq},"f":"{filler}"}}',
        personal=f'{{"ip_address":"{SECRET}","n":{seq}}}' if seq % 2 else None,
    )


async def make(where: Path) -> Made:
    """Make the log and its backups in an empty directory."""
    data, closed = where / "made", where / "closed"
    journal = await SQLiteJournal.open(data, FORM)
    for first in range(1, MIDDLE, 20):
        await journal.append([usage(seq) for seq in range(first, first + 20)])
    await journal.erase(ERASED_BEFORE)
    await journal.append([], [make_snapshot(f"user-{n}", 100 + n, schema=1) for n in range(9)])
    due = await journal.archivable(1 << 62, ARCHIVED, 1)
    assert due is not None
    await journal.archive(due.last)
    await journal.mark_published(200)
    back_up(data, where / "middle.db")
    await journal.append([usage(seq) for seq in range(MIDDLE + 1, 401)])
    await journal.erase(FORGOTTEN)
    for first in range(401, ROWS, 20):
        rows = [usage(seq) for seq in range(first, first + 20)]
        await journal.append(rows, [make_snapshot("user-1", first + 19)])
    await journal.mark_published(ROWS - 3)
    back_up(data, where / "newest.db")
    shutil.copytree(data, where / "data")
    await journal.close()
    shutil.copytree(data, closed)
    return Made(where / "data", closed, where / "middle.db", where / "newest.db", stored(closed))


def stored(directory: Path) -> list[tuple[Any, ...]]:
    """What the table `log` has."""
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        return db.execute(f"SELECT {FIELDS} FROM log ORDER BY seq").fetchall()


def looks_whole(_: Snapshot) -> bool:
    """What a snapshot of these tests is."""
    return True


def mended(directory: Path, *backups: Path, **options: Any) -> Report:
    """Mend a directory."""
    return mend(directory, backups, looks_whole, NOW, **options)


def broken(directory: Path) -> list[Broken]:
    """What the chain says of the log; accepted losses are nothing broken."""
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        notes = db.execute("SELECT seq, links FROM heads ORDER BY seq").fetchall()
        whole = [Heads(seq, links_of(seq, links, unchecked(db))) for seq, links in notes]
        check = ChainCheck(position_of(db, UNCHAINED), whole[0], whole[1:], losses_of(db))
        return [*_followed(db, check), *check.end()]


def _followed(db: sqlite3.Connection, check: ChainCheck) -> Iterator[Broken]:
    for *row, proof, stamp in db.execute(f"SELECT {FIELDS} FROM log ORDER BY seq").fetchall():
        one = Row._make((*row[:6], bool(row[6]), *row[7:]))
        yield from check.take(one, proof, stamp[:16] if stamp else stamp, whole=bool(one.body))


def losses(directory: Path) -> Losses:
    """What was accepted as lost."""
    with closing(sqlite3.connect(directory / DATABASE)) as db:
        return losses_of(db)


def blank(path: Path, page: int, length: int = PAGE) -> None:
    """Blank a page, 0 is the first; or the beginning of it."""
    content = bytearray(path.read_bytes())
    content[page * PAGE : page * PAGE + length] = bytes(length)
    path.write_bytes(content)


def pages_of(path: Path) -> int:
    """How many pages a database has."""
    return path.stat().st_size // PAGE


def missing(report: Report) -> list[int]:
    """The positions that are missing."""
    return [seq for one in report.missing for seq in range(one.first, one.last + 1)]


def kept(directory: Path) -> dict[str, bytes]:
    """The files of damaged logs, by name."""
    return {
        path.name: path.read_bytes() for path in directory.glob("damaged-*/*") if path.is_file()
    }


def blank_what_matters(data: Path) -> None:
    """Blank a page with rows that are not in the WAL as well."""
    content = (data / DATABASE).read_bytes()
    for page in range(3, len(content) // PAGE):
        blank(data / DATABASE, page)
        if mended(data, dry_run=True).missing:
            return
        (data / DATABASE).write_bytes(content)
    raise AssertionError("no page matters")


def kind_of(path: Path, page: int) -> str:
    """What a page of a database is."""
    with path.open("rb") as file:
        file.seek(page * PAGE + (100 if page == 0 else 0))
        return KINDS.get(file.read(1)[0], "other")
