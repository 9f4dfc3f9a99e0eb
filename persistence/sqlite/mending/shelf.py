"""The archives of a damaged log: what it says of them, what backups say, and what the files are."""

from __future__ import annotations

import sqlite3
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from persistence.archive.entries import FIELDS, ArchiveEntry, entry_of, name_of
from persistence.archive.files import DIRECTORY, blocks_in, blocks_of, bodies
from persistence.errors import ArchiveUnreadable, Damaged, Refused
from persistence.sqlite.mending.sources import Source, columns_of

_SUFFIX: Final = ".jsonl.gz"
_UNSAID: Final = "nothing else says which rows it has"
_encode: Final = msgspec.json.Encoder().encode


class Shelf:
    """The files that belong to a log.

    Args:
        directory: of the log.
        entries: what is known of them.

    Attributes:
        entries: in order.
    """

    def __init__(self, directory: Path, entries: Iterable[ArchiveEntry]) -> None:
        self.entries = sorted(entries, key=lambda entry: entry.last)
        self._lasts = [entry.last for entry in self.entries]
        self._firsts = [[block.first for block in blocks_of(one.blocks)] for one in self.entries]
        self._directory = directory / DIRECTORY
        self._open: tuple[int, int] | None = None
        self._bodies: dict[int, str] = {}

    def body_of(self, seq: int) -> str | None:
        """The body of a row that is in an archive; None if it is in none, or cannot be read."""
        place = bisect_right(self._lasts, seq - 1)
        if place == len(self.entries) or seq < self.entries[place].first:
            return None
        block = max(bisect_right(self._firsts[place], seq) - 1, 0)
        if self._open != (place, block):  # rows come in order, and inflate each block once
            self._open, self._bodies = (place, block), self._read(place, block)
        return self._bodies.get(seq)

    def _read(self, place: int, block: int) -> dict[int, str]:
        entry = self.entries[place]
        try:
            return bodies(self._directory / entry.name, [blocks_of(entry.blocks)[block]])
        except ArchiveUnreadable:
            return {}


def shelf_of(directory: Path, log: Source, backups: Sequence[Source]) -> Shelf:
    """The archives of a log, by what can be read of it, by its backups, and by the files.

    Raises:
        Refused: a file cannot be read of which neither log nor backups say anything.
    """
    flaws = len(log.flaws)
    entries = _entries(log)
    if log.is_readable and len(log.flaws) == flaws:
        return Shelf(directory, entries.values())
    for backup in backups:
        entries = _entries(backup) | entries
    for path in sorted((directory / DIRECTORY).glob(f"*{_SUFFIX}")):
        first, _, last = path.name.removesuffix(_SUFFIX).partition("-")
        if not (first.isdecimal() and last.isdecimal()) or int(last) in entries:
            continue
        try:
            entries[int(last)] = _of_file(path, int(first), int(last))
        except (ValueError, zlib.error, ArchiveUnreadable):
            log.flaws.append(f"{DIRECTORY}/{path.name}, and {_UNSAID}")
        except OSError as error:
            raise Refused(
                f"{path} cannot be read ({error.strerror}), and {_UNSAID}: put a copy of it back,"
                " or move it away to go on without the bodies of its rows"
            ) from error
    return Shelf(directory, entries.values())


def _entries(source: Source) -> dict[int, ArchiveEntry]:
    def read(db: sqlite3.Connection) -> dict[int, ArchiveEntry]:
        columns = columns_of(db, "archives")
        if not columns:
            return {}
        found = dict[int, ArchiveEntry]()
        fields = FIELDS if "checksum" in columns else FIELDS.replace("checksum", "NULL")
        for one in db.execute(f"SELECT {fields} FROM archives ORDER BY last"):  # noqa: S608 -- of a module
            try:
                entry = entry_of(one)
                blocks_of(entry.blocks)
            except (ArchiveUnreadable, Damaged) as error:
                source.flaws.append(str(error))
                continue
            if entry.name != name_of(entry.first, entry.last):
                source.flaws.append(f"what it keeps of the archive {entry.name}")
                continue
            found[entry.last] = entry
        return found

    return source.ask("the archives", read, {})


def _of_file(path: Path, first: int, last: int) -> ArchiveEntry:
    """What the log would keep of a file, from the file.

    Raises:
        ValueError, zlib.error, ArchiveUnreadable: it is not as it was written.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        blocks = [*blocks_in(file)]
    entry = ArchiveEntry(first, last, path.name, _encode(blocks).decode())
    blocks_of(entry.blocks)
    return entry
