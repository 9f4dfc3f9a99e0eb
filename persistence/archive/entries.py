"""What the log keeps of a file of the archive: which rows it has, its name, and its blocks."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from zlib import crc32

from persistence.damage import LOG, MEND
from persistence.errors import Damaged

FIELDS: Final = "first, last, name, blocks, checksum"
"""The columns of the table ``archives`` that `entry_of` takes."""
_NAME: Final = re.compile(r"\d{1,19}-\d{1,19}\.jsonl\.gz")


class ArchiveEntry(NamedTuple):
    """An entry of the table ``archives``.

    Attributes:
        first: the file has rows from here on,
        last: up to here.
        name: of the file, in the directory ``archive``.
        blocks: as JSON, what `files.blocks_of` takes.
    """

    first: int
    last: int
    name: str
    blocks: str


def name_of(first: int, last: int) -> str:
    """The name of the file with the rows from one position to another."""
    return f"{first}-{last}.jsonl.gz"


def checksum_of(entry: ArchiveEntry) -> int:
    """What is stored beside an entry."""
    first, last, name, blocks = entry
    return crc32(f"{first} {last} {name} {blocks}".encode())


def entry_of(found: tuple[Any, ...]) -> ArchiveEntry:
    """The entry of what a query gave of `FIELDS`; one of before checksums is taken as it is.

    Raises:
        Damaged: it is not as it was written.
    """
    *fields, checksum = found
    entry = ArchiveEntry._make(fields)
    if checksum not in {None, checksum_of(entry)}:
        named = _NAME.fullmatch(str(entry.name)) is not None  # else it may be anything
        place = f"the entry of {entry.name} in" if named else "an entry of"
        place += " the table archives"
        raise Damaged(LOG, place, MEND)  # which rows it is of is not known either
    return entry
