"""What the log keeps beside its rows: positions, the newest links, and which archives there are."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from persistence.archive.entries import FIELDS, ArchiveEntry, entry_of, name_of
from persistence.archive.files import ArchiveBlock, blocks_of
from persistence.chain.check import Heads
from persistence.chain.losses import NONE, Losses
from persistence.errors import ArchiveDamaged, Damaged
from persistence.sqlite.connection import is_unread
from persistence.sqlite.data_dir import DATABASE
from persistence.sqlite.heads import links_of
from persistence.sqlite.high_water_mark import EMPTY, MARK, Mark
from persistence.sqlite.inspecting.fault import (
    MEND,
    MEND_BACKUP,
    NOTHING_SERVES,
    Fault,
    rows_named,
)
from persistence.sqlite.inspecting.tables import Unreadable, rows_of
from persistence.sqlite.inspecting.walk import rows_at_most
from persistence.sqlite.losses import losses_of
from persistence.sqlite.positions import ENDS, UNCHAINED, UNCHECKED, position_of

BEHIND: Final = 10_000
"""So far behind all that is known rows are looked for, if the log cannot say where it ends."""
_NAME: Final = re.compile(r"(\d{1,18})-(\d{1,18})\.jsonl\.gz")
_NOT_AS_WRITTEN: Final = "it is not as it was written"
_NOTE: Final = "the log's own note of its newest links"


class Notes(NamedTuple):
    """What could be read.

    Attributes:
        positions: by name.
        begin: what the first row with a link of its own builds on, None if nobody knows.
        heads: later links that the log keeps.
        last: the newest position of which any of them tells.
        faults: what could not be read.
        losses: rows that are lost, as it was accepted.
    """

    positions: dict[str, int]
    begin: Heads | None
    heads: list[Heads]
    last: int
    faults: list[Fault]
    losses: Losses

    @property
    def unchecked(self) -> int:
        """Rows up to here may have no checksum: all, if nobody knows."""
        return self.positions.get(UNCHECKED, self.last)

    @property
    def unchained(self) -> int:
        """Rows up to here are older than the chain."""
        return self.positions.get(UNCHAINED, 0)


def read_notes(db: sqlite3.Connection, mark: int) -> Notes:
    """What the log keeps beside its rows; ``mark`` is up to where all was committed.

    Raises:
        sqlite3.Error: it cannot be read, for another reason than damage.
    """
    faults = list[Fault]()
    positions = _positions(db, faults)
    unchecked = positions.get(UNCHECKED)
    heads, bad = _heads(db, unchecked, faults)
    losses, newest = _losses(db, faults), _newest(db)
    seqs = [*_of_rows(positions).values(), *(one.seq for one in heads)]
    last = max(mark, newest or 0, losses.end, *seqs, 0)
    if newest is None and not mark:
        last += BEHIND  # nothing says where the log ends
    begin = heads.pop(0) if heads and not any(seq < heads[0].seq for seq in bad) else None
    if begin is None and not bad:
        why = "it is not there, so nobody knows what the first rows build on"
        faults.append(Fault("heads", DATABASE, _NOTE, why, MEND_BACKUP))
    if begin is None and unchecked == 0:
        begin = Heads(0, b"")  # no row is older than links of their own
    return Notes(positions, begin, heads, last, faults, losses)


def check_ends(notes: Notes, last: int, mark: Mark) -> Iterator[Fault]:
    """What notes and the mark say of rows behind the end of the log.

    Args:
        notes: what the log keeps.
        last: where it ends.
        mark: as it was before the log was looked at.
    """
    last = max(last, notes.losses.end)
    for name, seq in _of_rows(notes.positions).items():
        if not 0 <= seq <= last:
            why = f"it is {seq:,}, and the log ends at row {last:,}"
            yield Fault("position", DATABASE, f"the position {name!r}", why, MEND)
    if mark.why and (last or mark.why != EMPTY):
        yield Fault("mark", MARK, "the whole file", mark.why, NOTHING_SERVES, derived=True)
    elif mark.seq > last:
        first = last + 1
        why = (
            f"the log ends at row {last:,}, but all up to row {mark.seq:,} was committed: its WAL"
            " is damaged or gone"
        )
        field = rows_named(first, mark.seq)
        yield Fault(field, DATABASE, field, why, MEND_BACKUP, first=first, last=mark.seq)


def check_archives(db: sqlite3.Connection) -> Iterator[Fault | tuple[str, list[ArchiveBlock]]]:
    """What the log keeps of its archives: name and blocks of each, or what is wrong with it."""
    before = 0
    for found in _in_order(rows_of(db, "archives", "last", f"last, {FIELDS}, moving")):
        if isinstance(found, Unreadable):
            yield _fault_of_archive("the table archives", "entries of it cannot be read")
            continue
        _, *fields, moving = found
        try:
            entry = entry_of(tuple(fields))
            blocks = blocks_of(entry.blocks)
        except (ArchiveDamaged, Damaged, TypeError):
            name, rows = _named_by(fields)
            yield _fault_of_archive(f"the entry of the archive {name}", _NOT_AS_WRITTEN, rows)
            continue
        first, last, name, _ = entry
        if moving or not before < first <= last or name != name_of(first, last):
            why = f"it says rows {first} to {last}, behind row {before}"
            yield _fault_of_archive(f"the entry of the archive {name}", why)
            continue
        before = last
        yield name, blocks


def _of_rows(positions: Mapping[str, int]) -> dict[str, int]:
    """Those that are positions of rows: one is a moment, up to which periods were looked at."""
    return {name: seq for name, seq in positions.items() if name != ENDS}


def _named_by(fields: Sequence[Any]) -> tuple[str, tuple[int, int] | None]:
    """What a damaged entry seems to be of: its name, and its rows if that says some."""
    name = str(fields[ArchiveEntry._fields.index("name")])
    said = _NAME.fullmatch(name)
    return name, (int(said[1]), int(said[2])) if said else None


def _fault_of_archive(place: str, why: str, rows: tuple[int, int] | None = None) -> Fault:
    first, last = rows or (None, None)
    return Fault("archive", DATABASE, place, why, MEND_BACKUP, first=first, last=last)


def _in_order(found: Iterable[Any]) -> list[Any]:
    """Entries by their first field, behind them what cannot be read."""
    entries = list(found)
    read = sorted((one for one in entries if not isinstance(one, Unreadable)), key=lambda it: it[0])
    return [*read, *(one for one in entries if isinstance(one, Unreadable))]


def _positions(db: sqlite3.Connection, faults: list[Fault]) -> dict[str, int]:
    positions = dict[str, int]()
    try:
        names = [name for (name,) in db.execute("SELECT name FROM position ORDER BY name")]
    except sqlite3.Error as error:
        if not is_unread(error):
            raise
        why = "it cannot be read"
        faults.append(Fault("position", DATABASE, "the table position", why, MEND_BACKUP))
        return positions
    for name in names:
        try:
            positions[name] = position_of(db, name)
        except (Damaged, sqlite3.Error) as error:
            if isinstance(error, sqlite3.Error) and not is_unread(error):
                raise
            why = "it is not as it was put"
            faults.append(Fault("position", DATABASE, f"the position {name!r}", why, MEND_BACKUP))
    if UNCHECKED not in names:
        place, why = f"the position {UNCHECKED!r}", "it is not there"
        faults.append(Fault("position", DATABASE, place, why, MEND_BACKUP))
    return positions


def _heads(
    db: sqlite3.Connection, unchecked: int | None, faults: list[Fault]
) -> tuple[list[Heads], list[int]]:
    """Links that the log keeps, and the positions of those that cannot be used."""
    found, bad = list[Heads](), list[int]()
    for entry in _in_order(rows_of(db, "heads", "seq", "seq, links")):
        if isinstance(entry, Unreadable):
            place, why = "the table heads", "notes of the newest links cannot be read"
            faults.append(Fault("heads", DATABASE, place, why, MEND))
            bad.append(entry.above)
            continue
        seq, stored = entry
        try:
            # That of the first row was made by a migration, without a checksum.
            links = links_of(seq, stored, seq if unchecked is None or not found else unchecked)
        except ValueError as error:
            place = f"{_NOTE} as of row {seq}"
            faults.append(Fault("heads", DATABASE, place, str(error), MEND))
            bad.append(seq)
        else:
            found.append(Heads(seq, links))
    return found, bad


def _losses(db: sqlite3.Connection, faults: list[Fault]) -> Losses:
    """What was accepted as lost; nothing, if that cannot be read: then it is missing again."""
    try:
        return losses_of(db)
    except (Damaged, sqlite3.Error) as error:
        if isinstance(error, sqlite3.Error) and not is_unread(error):
            raise
        place = error.place if isinstance(error, Damaged) else "the table losses"
        faults.append(Fault("losses", DATABASE, place, _NOT_AS_WRITTEN, MEND))
        return NONE


def _newest(db: sqlite3.Connection) -> int | None:
    """The newest position as the log says, at most what its file can have; None if it cannot."""
    try:
        (found,) = db.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()
    except sqlite3.Error as error:
        if not is_unread(error):
            raise
        return None
    return min(int(found), rows_at_most(db))
