"""The filter of keys beside a log, against the keys of its rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zlib import crc32

from persistence.errors import Corrupt
from persistence.key_filter import KeyFilter
from persistence.records import Row
from persistence.sqlite import key_filter_file
from persistence.sqlite.connection import is_unread
from persistence.sqlite.high_water_mark import mark_of
from persistence.sqlite.inspecting.fault import NOTHING_STARTS, Fault
from persistence.sqlite.key_filter_store import FILE
from persistence.sqlite.provenance import anchor_at

_NUMBER: Final = 4
_PIECE: Final = 1 << 20


class KeysCheck:
    """Compares the filter with rows that are shown to it.

    Args:
        db: a connection to the log.
        directory: the data directory.
        last: where the log ends.

    Attributes:
        fault: what is wrong with the file as a whole.
        seq: up to where the file says that it has all keys.
    """

    def __init__(self, db: sqlite3.Connection, directory: Path, last: int) -> None:
        self.fault: str = ""
        self.seq = 0
        self._keys = KeyFilter(1)
        self._missing = 0
        self._first: int | None = None
        self._last: int | None = None
        try:
            kept = key_filter_file.read(directory / FILE)
        except FileNotFoundError:
            return
        except (OSError, OverflowError, ValueError, Corrupt) as error:
            if not _is_whole(directory / FILE):  # else it is of another version
                self.fault = str(error)
            return
        # It may be newer than the log, as of the moment at which that is looked at.
        if mark_of(directory).seq < kept.seq or kept.seq <= last:
            self.fault = _other_log(db, kept.seq, kept.anchor)
            if self.fault:
                return
        self._keys.restore(kept.parts)
        self.seq = kept.seq

    def take(self, row: Row) -> None:
        """Look whether the filter has the key of a row, which is as it was written."""
        if row.seq <= self.seq and row.key and self._keys.surely_new(row.user, row.key):
            self._missing += 1
            self._first = row.seq if self._first is None else self._first
            self._last = row.seq

    def faults(self) -> Iterator[Fault]:
        """What is wrong, once all rows were shown."""
        why, place = self.fault, "the whole file"
        if self._missing:
            why = f"it lacks {self._missing:,} keys that rows up to {self.seq:,} have"
        if why:
            rows = (self._first, self._last)
            yield Fault("keys", FILE, place, why, NOTHING_STARTS, True, *rows)


def _other_log(db: sqlite3.Connection, seq: int, anchor: str) -> str:
    try:
        found = anchor_at(db, seq)
    except sqlite3.Error as error:
        if not is_unread(error):
            raise
        return ""  # nobody can tell
    return "" if found == anchor else f"it is of another log: row {seq:,} is not the one it names"


def _is_whole(path: Path) -> bool:
    """Whether a file ends with the checksum of all that is before it."""
    digest, end = 0, b""
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest, end = crc32((end + piece)[:-_NUMBER], digest), (end + piece)[-_NUMBER:]
    except OSError:
        return False
    return len(end) == _NUMBER and end == digest.to_bytes(_NUMBER, "little")
