"""How far the log was committed, said beside it.

SQLite takes a WAL up to its first damaged page for the whole one, as it has to after a crash:
if a page in its middle is damaged, or the file was cut or removed, what was committed
behind it would be gone without a word. So the newest committed position is written into a
file of its own, behind each commit and never before, and a log that ends before it has lost
its end. The mark is not synced: after the power went it may be older, which says less, but
never too much.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from persistence.errors import Refused
from persistence.sqlite import schema
from persistence.sqlite.connection import Connection
from persistence.sqlite.data_dir import DATABASE

MARK: Final = "meterd.mark"
EMPTY: Final = "it is empty"
"""As the mark of a log is to which nothing was ever added."""
LOST: Final = "the disk does not give it back"
# The position twice, the second time with all bits turned, so that damage is no position.
_FORMAT: Final = struct.Struct("<QQ")
_ALL: Final = (1 << 64) - 1


class Mark(NamedTuple):
    """The position that a mark says, 0 if none, and what is wrong with it, "" if nothing is."""

    seq: int
    why: str = ""


class HighWaterMark:
    """The mark of a directory, open for writing; one process has it at a time.

    Attributes:
        seq: the newest position that it has, 0 if it says nothing.
    """

    def __init__(self, descriptor: int, seq: int) -> None:
        self._descriptor = descriptor
        self.seq = seq

    @classmethod
    def open(cls, directory: Path) -> HighWaterMark:
        """Open or create it. One that the disk does not give back is made anew: it says nothing.

        Raises:
            Refused: it cannot be.
        """
        path = directory / MARK
        try:
            found = _look(path)
            if found.why == LOST:
                path.unlink()  # what cannot be read could not be written over either
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refused(f"{path} cannot be opened: {error.strerror}") from error
        return cls(descriptor, found.seq)

    def advance(self, seq: int) -> None:
        """Say that all up to a position is committed; if the disk fails, nothing is said."""
        with suppress(OSError):
            os.pwrite(self._descriptor, _FORMAT.pack(seq, seq ^ _ALL), 0)

    def close(self) -> None:
        """Close the file; what comes now is not written any more."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


def marked(directory: Path) -> Mark:
    """What the mark of a directory says.

    Raises:
        Refused: it cannot be read, though the disk may have it.
    """
    path = directory / MARK
    try:
        return _look(path)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from error


def mark_of(directory: Path) -> Mark:
    """As `marked`, for whoever goes on if it cannot be read.

    Of one that is not there nobody can tell whether there was one.
    """
    try:
        return _look(directory / MARK)
    except OSError as error:
        return Mark(0, f"it cannot be read: {error.strerror}")


async def check_end(directory: Path, mark: int) -> None:
    """Refuse a log that has lost its end, and leave its files as they are.

    Raises:
        Refused: it ends before the mark.
        sqlite3.Error: it cannot be read.
    """
    if not mark:
        return
    path = directory / DATABASE
    # One that may write would, when it is closed, take what is left of the WAL for all of it.
    reader = await Connection.open(path, read_only=True)
    try:
        await reader.call(compare, path, mark)
    finally:
        await reader.close()


def compare(db: sqlite3.Connection, path: Path, mark: int) -> None:
    """As `check_end`, of an open log."""
    last = schema.last_seq(db, path)
    if last < mark:
        raise Refused(
            f"{path} ends at row {last}, but all up to row {mark} was committed, as"
            f" {path.with_name(MARK)} says: its WAL is damaged or gone. Run meterd mend, with a"
            " backup if there is one"
        )


def _look(path: Path) -> Mark:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Mark(0)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return Mark(0, LOST)
    if not content:
        return Mark(0, EMPTY)
    seq = _position(content)
    whole = content == _FORMAT.pack(seq, seq ^ _ALL)
    return Mark(seq, "" if whole else "it is not as it was written, and says no position")


def _position(content: bytes) -> int:
    if len(content) != _FORMAT.size:
        return 0
    seq, turned = _FORMAT.unpack(content)
    return int(seq) if seq ^ _ALL == turned else 0
