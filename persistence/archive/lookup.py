"""Rows whose bodies are in files of the archive: which file, and how they are read as before."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from persistence.archive.entries import FIELDS, entry_of
from persistence.archive.files import DIRECTORY, blocks_of, bodies
from persistence.errors import ArchiveDamaged, ArchiveUnreadable

_WHERE: Final = f"SELECT {FIELDS} FROM archives WHERE last >= ? ORDER BY last LIMIT 1"  # noqa: S608 -- of a module

Lost: TypeAlias = Callable[[str, ArchiveUnreadable, Sequence[int]], None]
"""Takes the name of a file, why it cannot be read, and the rows that it was wanted of."""


class Archives:
    """The archives of a log.

    Args:
        directory: of the log.

    Attributes:
        last: no row behind this position is in one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory / DIRECTORY
        self.last = 0

    def look(self, db: sqlite3.Connection) -> None:
        """Learn how far the archives go."""
        ((self.last,),) = db.execute("SELECT coalesce(max(last), 0) FROM archives")

    def bodies(
        self, db: sqlite3.Connection, positions: Sequence[int], lost: Lost | None = None
    ) -> dict[int, str]:
        """The bodies of those rows at these positions that are in archives.

        Args:
            db: a connection to the log.
            positions: of rows without a body.
            lost: takes what cannot be read; without it that raises.

        Raises:
            ArchiveUnreadable: a file of them is not there, or not as it was written.
            Damaged: what the log says of a file is not as it was written.
        """
        found: dict[int, str] = {}
        left = sorted(positions)
        while left:
            archive = db.execute(_WHERE, (left[0],)).fetchone()
            if archive is None:
                break
            first, last, name, blocks = entry_of(archive)
            here = [seq for seq in left if seq <= last]
            left = left[len(here) :]
            here = [seq for seq in here if seq >= first]
            if here and lost is None:
                found |= bodies(self.directory / name, blocks_of(blocks), here)
            elif here and lost is not None:
                found |= _what_can_be_read(self.directory / name, blocks, here, lost)
        return found


def _what_can_be_read(
    path: Path, blocks: str, positions: Sequence[int], lost: Lost
) -> dict[int, str]:
    try:
        return bodies(path, blocks_of(blocks), positions)
    except ArchiveDamaged as error:
        if len(positions) > 1:  # the other ones may be as they were
            found: dict[int, str] = {}
            for seq in positions:
                found |= _what_can_be_read(path, blocks, [seq], lost)
            return found
        lost(path.name, error, positions)
    except ArchiveUnreadable as error:
        lost(path.name, error, positions)
    return {}
