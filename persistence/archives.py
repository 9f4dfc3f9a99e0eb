"""Rows whose bodies are in files of the archive: which file, and how they are read as before."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from persistence.archive import DIRECTORY, blocks_of, bodies

_WHERE: Final = (
    "SELECT first, last, name, blocks FROM archives WHERE last >= ? ORDER BY last LIMIT 1"
)


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

    def bodies(self, db: sqlite3.Connection, positions: Sequence[int]) -> dict[int, str]:
        """The bodies of those rows at these positions that are in archives.

        Raises:
            ArchiveUnreadable: a file of them is not there, or not as it was written.
        """
        found: dict[int, str] = {}
        left = sorted(positions)
        while left:
            archive = db.execute(_WHERE, (left[0],)).fetchone()
            if archive is None:
                break
            first, last, name, blocks = archive
            here = [seq for seq in left if seq <= last]
            left = left[len(here) :]
            here = [seq for seq in here if seq >= first]
            if here:
                found |= bodies(self.directory / name, blocks_of(blocks), here)
        return found
