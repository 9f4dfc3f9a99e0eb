"""Checkpoints of the WAL: what it holds is copied into the database, and its file kept in bounds.

A reader that keeps a transaction open keeps what was written behind it from being copied, and the
WAL from starting again at its beginning: the file grows for as long. Nothing here can end such a
reader, which is another program. It is said, and when it is gone the file is cut.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from persistence.errors import DiskFailed, JournalError
from persistence.exhaustion import tell_of
from persistence.sqlite.connection import BUSY_TIMEOUT_S, Connection
from persistence.sqlite.schema import checkpoint

CHECKPOINT_PAGES: Final = 4_000
WAL_PAGES_MAX: Final = 16_000
LARGE_PAGES: Final = 32_000
"""131 MB: more than a steady load makes, so that somebody is in the way."""
LOOK_S: Final = 10.0
"""While the file is larger than that. Nothing may be written any more when the reader ends."""
PAGE_BYTES: Final = 4_096
_CAUSE: Final = "a program keeps a transaction open: an sqlite3 shell, a backup, meterd verify"

_log = structlog.get_logger(__name__)


class Checkpoints:
    """Has the WAL copied now and then, in a task of its own.

    Args:
        checkpointer: a connection that is used for nothing else.
        writer: that of the log.
        wal: the file.
        on_disk_failed: called if the disk is not to be trusted any more; the task ends then.

    Attributes:
        task: ends when the disk fails, or by `close`.
    """

    def __init__(
        self,
        checkpointer: Connection,
        writer: Connection,
        wal: Path,
        on_disk_failed: Callable[[DiskFailed], None],
    ) -> None:
        self._checkpointer = checkpointer
        self._writer = writer
        self._wal = wal
        self._on_disk_failed = on_disk_failed
        self._uncopied_pages = 0
        self._grown = asyncio.Event()
        self._copied = -1
        self._warned_bytes = 0
        self.task = asyncio.create_task(self._run(), name="journal-checkpoints")
        self.task.add_done_callback(tell_of)

    def written(self, rows: int) -> None:
        """So many rows were written: have the WAL copied if that makes enough of them."""
        # Rows of the usual size fill a page by tens; a block rewrites the last ones of the trees.
        self._uncopied_pages += 4 + rows // 4
        if self._uncopied_pages >= CHECKPOINT_PAGES:
            self._uncopied_pages = 0
            self._grown.set()

    async def close(self) -> None:
        """End the task; a copy that is under way comes to its end."""
        self.task.cancel()
        await asyncio.wait([self.task])

    async def _run(self) -> None:
        large = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S if large else None):
                    await self._grown.wait()
            self._grown.clear()
            try:
                large = await self._copy()
            except DiskFailed as error:
                self._on_disk_failed(error)
                _log.exception("journal_checkpoint_failed")
                return
            except JournalError as error:
                # The WAL grows meanwhile; appends fail by themselves when the disk is full.
                _log.warning("journal_checkpoint_postponed", error=str(error))

    async def _copy(self) -> bool:
        """Copy the WAL as far as its readers allow; whether its file is large then."""
        pages, copied = await self._checkpointer.write(checkpoint, "PASSIVE")
        held = copied < pages and copied == self._copied  # by a reader: nothing was copied
        if pages > WAL_PAGES_MAX and not held:
            # Under a steady load there is always a block that is not copied yet, and the WAL
            # would never start again from its beginning. Between two blocks only what came
            # during the copy is left to do.
            pages, copied = await self._writer.write(checkpoint, "PASSIVE")
        self._copied = copied
        if not self._is_large():
            return False
        if held:
            self._warn(pages - copied)
        elif copied == pages and await self._writer.write(_cut):
            if self._warned_bytes:
                _log.info("journal_wal_cut", file=str(self._wal))
            self._warned_bytes = 0
        return self._is_large()

    def _is_large(self) -> bool:
        return self._size() > LARGE_PAGES * PAGE_BYTES

    def _size(self) -> int:
        try:
            return os.stat(self._wal).st_size  # noqa: PTH116 -- nothing that waits
        except OSError:  # removed: `SQLiteJournal.look` says so
            return 0

    def _warn(self, pages: int) -> None:
        """Say that a reader is in the way; then again when the file has twice the size."""
        size = self._size()
        if size >= 2 * self._warned_bytes:
            self._warned_bytes = size
            _log.warning(
                "journal_wal_held",
                file=str(self._wal),
                bytes=size,
                uncopied_pages=pages,
                cause=_CAUSE,
                cure="end it, and the file is cut by itself",
            )


def _cut(db: sqlite3.Connection) -> bool:
    """Empty the WAL's file, whose pages are copied; False, at once, if somebody reads it."""
    db.execute("PRAGMA busy_timeout = 0")  # who waits here has the lock that writes need
    try:
        pages, _ = checkpoint(db, "TRUNCATE")
    finally:
        db.execute(f"PRAGMA busy_timeout = {round(1000 * BUSY_TIMEOUT_S)}")
    return not pages
