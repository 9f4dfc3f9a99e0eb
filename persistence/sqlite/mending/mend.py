"""`meterd mend`: what is damaged of a data directory is made anew, from itself and from backups."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import Final

from messages.units import to_micros
from persistence.chain.ranges import Ranges
from persistence.errors import Refused
from persistence.fsync import sync
from persistence.sqlite.data_dir import DATABASE, MENDED, Claim
from persistence.sqlite.high_water_mark import EMPTY, MARK, marked
from persistence.sqlite.inspecting.definitions import other_definitions
from persistence.sqlite.mending import swapping
from persistence.sqlite.mending.accepted import stay_lost
from persistence.sqlite.mending.beside import IsWhole, Snapshots, check_notes, positions_of
from persistence.sqlite.mending.blocks import broken_blocks
from persistence.sqlite.mending.joining import Frame, Join, Kind, Known, Origin
from persistence.sqlite.mending.report import Report, missing_of
from persistence.sqlite.mending.salvage import SCRATCH, Salvage
from persistence.sqlite.mending.shelf import shelf_of
from persistence.sqlite.mending.sources import LOSSES, Source, backup, begin_of
from persistence.sqlite.mending.writing import Contents, write
from persistence.sqlite.schema import migrations
from persistence.sqlite.structure import check_structure

RUNS_MAX: Final = 16
"""How often a join may find something new."""
_PAGES: Final = ", page by page"
_DERIVED: Final = ("index.db and keys.filter, at the next start",)
_BESIDE: Final = ("SQLite's own structure", "the notes of links", *_DERIVED)

Progress = Callable[[int], None]
"""Told now and then up to which row a run is."""


def mend(
    directory: Path,
    backups: Sequence[Path],
    is_whole: IsWhole,
    now: datetime,
    *,
    accept_loss: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
) -> Report:
    """Mend the log of a directory, which nobody uses.

    Args:
        directory: the data directory.
        backups: files of `meterd backup`, of any schema, which may be damaged themselves.
        is_whole: looks at a snapshot.
        now: the moment.
        accept_loss: go on without rows that no source has.
        dry_run: say what would be done, and change nothing.
        progress: see `Progress`.

    Raises:
        Refused: it cannot be mended: held, no log, the disk is full, or a file of another log.
    """
    if not (directory / DATABASE).exists():
        raise Refused(f"there is no {directory / DATABASE}: meterd restore makes a backup the log")
    with ExitStack() as held:
        held.callback(Claim.take(directory).close)
        try:
            if not dry_run:
                for name in (swapping.WRITING, SCRATCH):  # of one that was killed
                    (directory / name).unlink(missing_ok=True)
            if (directory / MENDED).exists():
                return _finish(directory, dry_run=dry_run)
            work = _Mend(directory, backups, is_whole, held, progress)
            return work.run(now, accept_loss=accept_loss, dry_run=dry_run)
        except OSError as error:
            where = error.filename or directory
            raise Refused(f"{where} cannot be used: {error.strerror}") from error
        except sqlite3.Error as error:
            raise Refused(f"{directory} cannot be mended: {error}") from error


def _finish(directory: Path, *, dry_run: bool) -> Report:
    new = directory / MENDED
    with closing(sqlite3.connect(f"{new.absolute().as_uri()}?mode=ro", uri=True)) as db:
        query = "SELECT coalesce(max(seq), 0), count(*) FROM log"
        last, rows = db.execute(query).fetchone()
    kept = None if dry_run else str(swapping.finish(directory, last))
    return Report(
        "finished",
        dry_run,
        rows,
        last,
        taken={},
        damaged=[],
        made_anew=[*_BESIDE],
        missing=[],
        loose=[],
        without_personal=0,
        without_body=0,
        stay_lost=0,
        kept_in=kept,
    )


class _Mend:
    """One mend of a directory that is claimed."""

    def __init__(
        self,
        directory: Path,
        backups: Sequence[Path],
        is_whole: IsWhole,
        held: ExitStack,
        progress: Progress,
    ) -> None:
        self._directory = directory
        self._held = held
        self._progress = progress
        self._log = Source(directory / DATABASE, DATABASE, is_backup=False)
        held.callback(self._log.close)
        self._backups: list[Source] = []
        for path in backups:
            self._backups.append(backup(path))
            held.callback(self._backups[-1].close)
        self._mark, self._mark_flaw = _mark(directory)
        self._begin, self._links = begin_of([self._log, *self._backups])
        self._shelf = shelf_of(directory, self._log, self._backups)
        self._snapshots = Snapshots(self._log, self._backups, is_whole)
        self._unchained = max(one.unchained for one in (self._log, *self._backups))
        self._origins = [*map(self._origin, (self._log, *self._backups))]
        self._end = max(self._log.last, self._mark)
        if self._origins[0].last < self._end:  # it may be only the way to its end that is damaged
            self._origins[0] = self._origins[0]._replace(last=self._end)

    def _origin(self, source: Source) -> Origin:
        is_own = source is self._log
        broken = broken_blocks(source.rows(self._begin.seq), self._unchained)
        kind = Kind.LOG if is_own else Kind.BACKUP
        return Origin(source.name, kind, is_own, source.last, source.rows, broken)

    def run(self, now: datetime, *, accept_loss: bool, dry_run: bool) -> Report:
        """See `mend`."""
        known, join = self._settled()
        ends_somewhere = self._log.is_readable and self._log.last > 0
        missing = [*join.gaps.missing(self._log.losses)]
        if not ends_somewhere or missing or any(join.taken[1:]):
            self._look_at_pages(join, is_open=not ends_somewhere)
            known, join = self._settled()
        self._refuse_nothing(join)
        self._look_beside()
        report = self._report(join, dry_run=dry_run)
        if report.missing and not accept_loss:
            return report._replace(outcome="lost", made_anew=[])
        if not report.missing and self._is_whole(join):
            kept = None
            if not dry_run:
                kept = swapping.put_derived_aside(self._directory, now)
                swapping.mark(self._directory, join.gaps.last)  # it may be empty, or damaged
            return report._replace(
                outcome="whole", made_anew=[*_DERIVED], kept_in=str(kept) if kept else None
            )
        if not dry_run:
            self._write(known, now)
            kept = swapping.finish(self._directory, join.gaps.last)
            report = report._replace(kept_in=str(kept))
        return report

    def _refuse_nothing(self, join: Join) -> None:
        """Refuse a log of which no row is left."""
        seen = zip(self._origins, join.seen, strict=True)
        has_any = any(count for origin, count in seen if origin.is_own)
        if has_any or (self._log.is_readable and not self._mark and not any(join.taken)):
            return
        raise Refused(
            f"nothing can be read of {self._log.path}: move it away, and have meterd restore make"
            " a backup the log"
        )

    def _look_beside(self) -> None:
        """Find what is damaged of the log beside its rows."""
        log = self._log
        check_notes(log)
        positions_of(log, [], self._shelf, self._end)
        log.ask("the schema", _check_texts, None)
        if log.schema >= LOSSES:
            log.ask("the structure", check_structure, None)
        if log.schema == len(migrations()):
            log.flaws += log.ask("the definitions", other_definitions, [])
        for _ in self._snapshots.all():
            pass
        if self._snapshots.left_out:
            log.flaws.append(f"{self._snapshots.left_out:,} snapshots")
        if not log.flaws:
            log.flaws += [f"SQLite says: {line}" for line in log.structure()]

    def _frame(self) -> Frame:
        return Frame(
            self._origins,
            self._begin.seq,
            self._links,
            self._log.unchecked,
            self._end,
            self._log.losses,
            self._shelf.body_of,
        )

    def _settled(self) -> tuple[Known, Join]:
        """The join that finds nothing new, run to its end."""
        known = Known()
        for _ in range(RUNS_MAX):
            join = Join(self._frame(), known)
            for at, one in enumerate(join.rows()):
                if at % 1_000 == 0:
                    self._progress(one.row.seq)
            if join.found == known:
                return known, join
            known = join.found
        raise Refused(f"{self._log.path} and its backups do not fit to each other")

    def _look_at_pages(self, join: Join, *, is_open: bool) -> None:
        """Add what pages have of what SQLite does not find, also where nothing leads to them."""
        end = max(self._end, join.gaps.last)
        lost = self._log.losses
        holes = Ranges(join.holes)

        def wanted(seq: int) -> bool:
            return seq not in lost and (seq in holes or (is_open and seq > end))

        found = Salvage(self._directory)
        self._held.callback(found.close)
        pages: list[Origin] = []
        for source, seen in zip([self._log, *self._backups], join.seen, strict=True):
            is_own = source is self._log
            if not is_own and seen >= source.last > 0:
                continue  # a backup that is whole
            rows, last = found.look(source.path, wanted, self._begin.seq)
            pages.append(Origin(f"{source.name}{_PAGES}", Kind.PAGES, is_own, last, rows))
            if is_own and is_open:
                self._end = max(self._end, last)
        first, *others = self._origins
        self._origins = [first, pages[0], *others, *pages[1:]]

    def _is_whole(self, join: Join) -> bool:
        """Whether nothing of the database is damaged, of which no row is missing."""
        changed = any(join.taken[1:]) or join.changed
        return self._log.is_readable and not self._log.flaws and not changed

    def _report(self, join: Join, *, dry_run: bool) -> Report:
        missing = missing_of(join.gaps, self._log.losses)
        names = [origin.name for origin in self._origins]
        taken = dict(zip(names, join.taken, strict=True))
        return Report(
            "mended",
            dry_run,
            sum(join.taken),
            join.gaps.last,
            taken=taken,
            damaged=[*dict.fromkeys([*self._log.flaws, *self._mark_flaw])],
            made_anew=[*_BESIDE],
            missing=missing,
            loose=join.loose,
            without_personal=join.found.personal.left_out(),
            without_body=join.without_body,
            stay_lost=stay_lost(self._log.losses, self._backups),
            kept_in=None,
        )

    def _write(self, known: Known, now: datetime) -> None:
        """Write the mended log, whole and on the disk, to where `swapping` finds it."""
        join = Join(self._frame(), known)
        at = to_micros(now)
        contents = Contents(
            self._begin,
            self._links,
            self._unchained,
            self._shelf.entries,
            self._snapshots.all(),
            positions_of(self._log, self._backups, self._shelf, self._end),
            lambda: join.unchecked,
            lambda: join.gaps.losses(self._log.losses, at),
        )
        part = self._directory / swapping.WRITING
        try:
            write(part, join.rows(), contents)
            part.rename(self._directory / MENDED)
            sync(self._directory)
        finally:
            part.unlink(missing_ok=True)


def _mark(directory: Path) -> tuple[int, list[str]]:
    """Up to where the log was committed, and what is wrong with what says so."""
    seq, why = marked(directory)
    return seq, [f"{MARK}: {why}"] if why not in {"", EMPTY} else []


def _check_texts(db: sqlite3.Connection) -> None:
    """Raise ValueError if a definition is no UTF-8: nobody could open the database."""
    query = "SELECT CAST(sql AS BLOB) FROM sqlite_master WHERE sql IS NOT NULL"
    for (text,) in db.execute(query):
        text.decode()
