"""A disk that does not give back parts of files: reads of them fail, or end before them."""

from __future__ import annotations

import errno
import io
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LOST_HEADER = 8458
"""SQLITE_IOERR_CORRUPTFS, as which SQLite says EIO when it opens a file."""


def failed(error: int) -> OSError:
    """What a read that fails raises."""
    return OSError(error, os.strerror(error))


class BadDisk:
    """Which parts are lost. What SQLite reads for itself cannot be: blank it as well.

    Attributes:
        error: with which the reads fail.
        reads: how many failed, or ended before what is lost.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error = errno.EIO
        self.reads = 0
        self._patch = monkeypatch
        self._lost: list[tuple[int, range]] = []  # by the number of the file
        self._begins = False

    def lose(self, path: Path, *parts: range, begins: bool = False) -> None:
        """Parts of a file cannot be read by ``os.pread``.

        With ``begins``, a read gives what is before such a part, and only the next one fails.
        """
        if not self._lost:
            self._patch.setattr(os, "pread", self._reading(os.pread))
        self._begins = begins
        self._lost += [(path.stat().st_ino, part) for part in parts]

    def lose_file(self, path: Path) -> None:
        """A file can be opened, and nothing of it can be read by Python."""
        opened, whole = Path.open, Path.read_bytes

        def open_(self_: Path, *args: Any, **options: Any) -> Any:
            return _Lost(self) if self_ == path else opened(self_, *args, **options)

        def read_bytes(self_: Path) -> bytes:
            if self_ == path:
                self.reads += 1
                raise failed(self.error)
            return whole(self_)

        self._patch.setattr(Path, "open", open_)
        self._patch.setattr(Path, "read_bytes", read_bytes)

    def lose_header(self, *paths: Path, code: int = LOST_HEADER) -> None:
        """SQLite cannot open a database."""
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect
        lost = {path.absolute().as_uri() for path in paths}

        def open_(database: Any, *args: Any, **options: Any) -> sqlite3.Connection:
            if str(database).partition("?")[0] in lost:
                self.reads += 1
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = code
                raise error
            return connect(database, *args, **options)

        self._patch.setattr(sqlite3, "connect", open_)

    def _reading(self, pread: Callable[[int, int, int], bytes]) -> Callable[[int, int, int], bytes]:
        def read(descriptor: int, size: int, place: int) -> bytes:
            number = os.fstat(descriptor).st_ino
            parts = [part for file, part in self._lost if file == number]
            met = [part.start for part in parts if part.start < place + size and part.stop > place]
            if not met:
                return pread(descriptor, size, place)
            self.reads += 1
            if self._begins and min(met) > place:
                return pread(descriptor, min(met) - place, place)
            raise failed(self.error)

        return read


class _Lost(io.RawIOBase):
    """A file that is open, and of which every read fails."""

    def __init__(self, disk: BadDisk) -> None:
        super().__init__()
        self._disk = disk

    def readable(self) -> bool:
        return True

    def seek(self, *_: int) -> int:
        return 0

    def read(self, *_: int) -> bytes:
        self._disk.reads += 1
        raise failed(self._disk.error)
