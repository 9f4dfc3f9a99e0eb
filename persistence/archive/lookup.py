"""Rows whose bodies are in files of the archive: which file, and how they are read as before."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final, TypeAlias

from persistence.archive.entries import FIELDS, entry_of
from persistence.archive.files import DIRECTORY, ArchiveBlock, blocks_of, bodies
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
    path: Path, stored: str, positions: Sequence[int], lost: Lost
) -> dict[int, str]:
    """The bodies of a file that can be read: a block that cannot takes no row of another along."""
    blocks: list[ArchiveBlock] = []
    try:
        blocks = blocks_of(stored)
        return bodies(path, blocks, positions)
    except ArchiveUnreadable as error:
        if not blocks or not isinstance(error, ArchiveDamaged):  # nothing of it can be read
            lost(path.name, error, positions)
            return {}
    found: dict[int, str] = {}
    for block, some in _by_block(blocks, positions):
        found |= _of_block(path, block, some, lost)
    return found


def _of_block(
    path: Path, block: ArchiveBlock, positions: Sequence[int], lost: Lost
) -> dict[int, str]:
    try:
        return bodies(path, [block], positions)
    except ArchiveUnreadable as error:
        if len(positions) > 1 and _is_there(path, block):  # it lacks one of them
            found: dict[int, str] = {}
            for seq in positions:
                found |= _of_block(path, block, [seq], lost)
            return found
        lost(path.name, error, positions)
    return {}


def _is_there(path: Path, block: ArchiveBlock) -> bool:
    try:
        return bool(bodies(path, [block]))
    except ArchiveUnreadable:
        return False


def _by_block(
    blocks: Sequence[ArchiveBlock], positions: Sequence[int]
) -> Iterator[tuple[ArchiveBlock, list[int]]]:
    firsts = [block.first for block in blocks]
    for number, some in groupby(positions, lambda seq: max(bisect_right(firsts, seq) - 1, 0)):
        yield blocks[number], [*some]
