"""The filter of keys beside the log: read at the start, written now and then.

To put all keys of a log into a filter takes a second per million. So the filter is kept in a
file with the position that it has reached, and a start adds the keys behind that only. The
file is derived: if it is missing, damaged, of another version or of another log, the filter
is made of the whole log.

A file may hold more keys than the log up to its position, which does no harm. It is written
while others put keys in: a word that is copied holds every bit that was set before.
"""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Final

import structlog

from persistence.errors import Corrupt, JournalError
from persistence.exhaustion import tell_of
from persistence.key_filter import KeyFilter
from persistence.sqlite import key_filter_file
from persistence.sqlite.connection import Connection
from persistence.sqlite.provenance import anchor_at
from persistence.sqlite.stored_rows import StoredRows

FILE: Final = "keys.filter"
SAVE_ROWS: Final = 200_000
SAVE_BYTES_PER_ROW: Final = 200
"""The file is written when the log has grown by this many rows, or by so many that no row costs
more bytes of the file than that. It has 3 to 6 bytes for each key, 10 MB at the least."""
CLOSE_ROWS: Final = 20_000
"""At a close the file is written for this many rows; fewer are read again in no time."""
_ROWS_AT_ONCE: Final = 1_000

_log = structlog.get_logger(__name__)


class KeyStore:
    """Keeps a filter of all keys of a log.

    Args:
        path: the file.
        log: reads the log.
        keys: the filter. Whoever appends a row has put its key in before.
        position: up to where the file has the log's keys, 0 if there is none.
    """

    def __init__(self, path: Path, log: Connection, keys: KeyFilter, position: int) -> None:
        self._path = path
        self._log = log
        self._keys = keys
        self._next = position + due_rows(keys)
        self._position = position
        self._saving: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, directory: Path, log: Connection, keys: KeyFilter, stored: StoredRows
    ) -> KeyStore:
        """Have the filter, which is empty, hold every key of the log.

        Raises:
            Unavailable: the log cannot be read.
            Damaged: a row is not as it was written, so that nobody knows its key.
        """
        path = directory / FILE
        position = await log.ask(_load, path, keys, stored)
        return cls(path, log, keys, position)

    def grown(self, last: int) -> None:
        """Rows up to a position are durable: write the file if it is due."""
        if last >= self._next and self._saving is None:
            self._next = last + due_rows(self._keys)  # also if it fails
            self._saving = asyncio.create_task(self._save(last), name="journal-keys")
            self._saving.add_done_callback(tell_of)

    async def close(self, last: int) -> None:
        """Write the file for a log that ends at a position."""
        if self._saving is not None:
            await asyncio.wait([self._saving])
        if last - self._position >= CLOSE_ROWS:
            await self._save(last)

    async def _save(self, seq: int) -> None:
        parts = self._keys.parts()
        try:
            anchor = await self._log.call(anchor_at, seq)
            if anchor is None:
                raise Corrupt(f"row {seq} is not in the log")
            await asyncio.to_thread(key_filter_file.write, self._path, parts, seq, anchor)
            self._position = seq
        except (OSError, sqlite3.Error, ValueError, JournalError) as error:
            # A start reads what the file lacks from the log.
            _log.warning("keys_not_saved", error=str(error))
        finally:
            self._saving = None


def due_rows(keys: KeyFilter) -> int:
    """After how many rows the file is written again."""
    size = sum(part.words.nbytes for part in keys.parts())
    return max(SAVE_ROWS, size // SAVE_BYTES_PER_ROW)


def _load(db: sqlite3.Connection, path: Path, keys: KeyFilter, stored: StoredRows) -> int:
    """Fill the filter from the file and from the log; the file's position."""
    kept = _kept(db, path)
    position = 0
    if kept is None:
        (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()
        keys.expect(last)
    else:
        keys.restore(kept.parts)
        position = kept.seq
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()
    for after in range(position, last, _ROWS_AT_ONCE):
        for row in stored.between(db, after, min(after + _ROWS_AT_ONCE, last), bodies=False):
            if row.key is not None:
                keys.claim(row.user, row.key)
    return position


def _kept(db: sqlite3.Connection, path: Path) -> key_filter_file.Kept | None:
    """What the file holds, None if it cannot be used."""
    try:
        kept = key_filter_file.read(path)
    except FileNotFoundError:
        return None
    except (OSError, Corrupt) as error:
        _log.warning("keys_made_anew", reason=str(error))
        return None
    if anchor_at(db, kept.seq) == kept.anchor:
        return kept
    _log.warning("keys_made_anew", reason="it is of another log")
    return None
