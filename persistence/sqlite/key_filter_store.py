"""The filter of keys beside the log: read at the start, written now and then.

To put all keys of a log into a filter takes seconds per million. So the filter is kept in a
file with the position that it has reached, and a start adds the keys behind that only. The
file is derived: if it is missing, damaged, of another version or of another log, the filter
is made of the whole log, behind the service if that takes long. Until it is complete nothing is
surely new, so each key is looked up in the log.

A file may hold more keys than the log up to its position, which does no harm. It is written
while others put keys in: a word that is copied holds every bit that was set before.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from persistence.damage import tell
from persistence.errors import Corrupt, Damaged, JournalError
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
ROWS_AT_ONCE: Final = 500
"""Rows whose keys are put in at once: half a millisecond of the loop."""
FILL_ROWS: Final = 200_000
"""More than these are read behind the service."""

_log = structlog.get_logger(__name__)


class KeyStore:
    """Keeps a filter of all keys of a log.

    Args:
        path: the file.
        log: reads the log.
        keys: the filter. Whoever appends a row has put its key in before.
        stored: reads rows.
        position: up to where the file has the log's keys, 0 if there is none.
    """

    def __init__(
        self, path: Path, log: Connection, keys: KeyFilter, stored: StoredRows, position: int
    ) -> None:
        self._path = path
        self._log = log
        self._keys = keys
        self._stored = stored
        self._next = position + due_rows(keys)
        self._position = position
        self._saving: asyncio.Task[None] | None = None
        self._filling: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, directory: Path, log: Connection, keys: KeyFilter, stored: StoredRows
    ) -> KeyStore:
        """Have the filter, which is empty, hold every key of the log, or do so by and by.

        Raises:
            Unavailable: the log cannot be read.
        """
        path = directory / FILE
        position, last = await log.ask(_load, path, keys)
        store = cls(path, log, keys, stored, position)
        keys.complete = False
        if last - position <= FILL_ROWS:
            await store._fill(position, last)
        else:
            store._filling = asyncio.create_task(
                store._fill_behind(position, last), name="journal-keys-fill"
            )
            store._filling.add_done_callback(tell_of)
        return store

    async def _fill_behind(self, after: int, last: int) -> None:
        try:
            await self._fill(after, last)
        except JournalError as error:  # nothing is wrong meanwhile, and all is slower
            _log.warning("keys_not_complete", error=str(error))
        else:
            _log.info("keys_complete", rows=last - after)

    async def _fill(self, after: int, last: int) -> None:
        """Put in the keys of the rows behind a position, in steps: others use the filter too."""
        whole = True
        for start in range(after, last, ROWS_AT_ONCE):
            end = min(start + ROWS_AT_ONCE, last)
            try:
                pairs = await self._log.ask(self._pairs, start, end)
            except Damaged as error:
                # Nobody knows which key the row has: so from now on no key is surely new.
                tell(error)
                whole, pairs = False, await self._log.ask(self._pairs_that_are_whole, start, end)
            for user, key in pairs:
                self._keys.claim(user, key)
            await asyncio.sleep(0)
        self._keys.complete = whole

    def _pairs(self, db: sqlite3.Connection, after: int, last: int) -> list[tuple[str, str]]:
        rows = self._stored.between(db, after, last, bodies=False)
        return [(row.user, row.key) for row in rows if row.key is not None]

    def _pairs_that_are_whole(
        self, db: sqlite3.Connection, after: int, last: int
    ) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for seq in range(after + 1, last + 1):
            with suppress(Damaged):
                found += self._pairs(db, seq - 1, seq)
        return found

    def grown(self, last: int) -> None:
        """Rows up to a position are durable: write the file if it is due."""
        if last >= self._next and self._saving is None:
            self._next = last + due_rows(self._keys)  # also if it fails
            self._saving = asyncio.create_task(self._save(last), name="journal-keys")
            self._saving.add_done_callback(tell_of)

    async def close(self, last: int) -> None:
        """Write the file for a log that ends at a position."""
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait([self._filling])
        if self._saving is not None:
            await asyncio.wait([self._saving])
        if last - self._position >= CLOSE_ROWS:
            await self._save(last)

    async def _save(self, seq: int) -> None:
        parts = self._keys.parts()
        try:
            if not self._keys.complete:
                return
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


def _load(db: sqlite3.Connection, path: Path, keys: KeyFilter) -> tuple[int, int]:
    """Have the filter be what the file has; the file's position, and that of the log."""
    kept = _kept(db, path)
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()
    if kept is None:
        keys.expect(last)
        return 0, last
    keys.restore(kept.parts)
    return kept.seq, last


def _kept(db: sqlite3.Connection, path: Path) -> key_filter_file.Kept | None:
    """What the file holds, None if it cannot be used."""
    try:
        kept = key_filter_file.read(path)
    except FileNotFoundError:
        return None
    except (OSError, Corrupt) as error:
        _log.warning("keys_made_anew", reason=str(error))
        return None
    with suppress(sqlite3.Error):  # the row is damaged: it is another one then
        if anchor_at(db, kept.seq) == kept.anchor:
            return kept
    _log.warning("keys_made_anew", reason="it is of another log")
    return None
