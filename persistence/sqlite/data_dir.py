"""The data directory: created for its owner alone, and held by one process.

Two locks say that it is held. That on `LOCK` is the older one and names the holder, but whoever
removes the file has removed the lock. So the database itself is locked too: two directories that
lead to one database, by a link or a mount, exclude each other as well.

The lock on the database is one of `flock`, which on Linux has nothing to do with those that
SQLite takes there by `fcntl`. But when a process closes any descriptor of a file, the kernel drops
all locks that it has there by `fcntl`, SQLite's among them. So the database is opened here before
SQLite opens it and closed behind SQLite, and nothing else in the process may open it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from persistence.errors import Refused

DATABASE: Final = "meterd.db"
WAL: Final = "-wal"
"""What SQLite adds to a database's name for its WAL."""
PART: Final = "meterd.db.part"
"""A copy on its way to become the database; it is there while a restore runs, or was killed."""
MENDED: Final = "meterd.db.mended"
"""A log that was mended, and is about to take the place of the damaged one."""
LOCK: Final = "meterd.lock"
_LOCKS_DATABASE: Final = sys.platform == "linux"
"""Elsewhere locks of the two kinds exclude each other, and SQLite would be locked out."""

_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


class Claim:
    """The hold of a process on a directory, until it is closed or the process ends."""

    def __init__(self, directory: Path, descriptors: ExitStack, database: int) -> None:
        self._descriptors = descriptors
        self._places = list[tuple[str, int, int]]()  # paths with device and inode
        self._watch(directory / DATABASE, os.fstat(database))

    @classmethod
    def take(cls, directory: Path) -> Self:
        """Create the directory and an empty database if they are missing, and lock them.

        Raises:
            Refused: held by another process, or it cannot be created or written.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(directory, os.W_OK | os.X_OK):  # the files may be open to writes
                raise Refused(f"the data directory {directory} cannot be used: it is read-only")
            with ExitStack() as descriptors:
                lock = _opened(descriptors, directory / LOCK)
                if not _locked(lock):
                    raise _held(directory, os.read(lock, 32))
                # SQLite gives the files beside the database the mode of the database.
                database = _opened(descriptors, directory / DATABASE)
                if _LOCKS_DATABASE and not _locked(database):
                    raise _held(directory, b"")
                os.ftruncate(lock, 0)
                os.write(lock, f"{os.getpid()}\n".encode())
                return cls(directory, descriptors.pop_all(), database)
        except OSError as error:
            named = error.filename not in {None, os.fspath(directory)}
            file = f"{error.filename}: " if named else ""
            why = f"the data directory {directory} cannot be used: {file}{error.strerror}"
            raise Refused(why) from error

    def watch(self, path: Path) -> None:
        """Have `displaced` look at another file, which is there, as well.

        Raises:
            Refused: what SQLite has opened by now is not what was locked.
        """
        self._watch(path, path.stat())
        if gone := self.displaced():
            raise Refused(f"{gone} was removed or replaced during the start")

    def _watch(self, path: Path, found: os.stat_result) -> None:
        self._places.append((os.fspath(path), found.st_dev, found.st_ino))

    def displaced(self) -> str:
        """The path of a file that was removed or replaced, the database first; "" if none was.

        SQLite does not notice: it goes on with files that no name leads to. A path is looked up
        in less than a microsecond, so that each commit can ask.
        """
        for path, device, inode in self._places:
            try:
                found = os.stat(path)  # noqa: PTH116 -- a `Path` takes twice as long
            except OSError as error:
                if error.errno in _GONE:
                    return path
                continue  # it cannot be seen, which says nothing about where it is
            if found.st_ino != inode or found.st_dev != device:
                return path
        return ""

    def close(self) -> None:
        """Let the directory go, when SQLite has closed the database."""
        self._descriptors.close()


def wal_of(database: Path) -> Path:
    """The WAL of a database: SQLite has it beside the file that a link leads to."""
    file = Path(os.path.realpath(database))
    return file.with_name(file.name + WAL)


def refuse_unfinished(directory: Path) -> None:
    """Refuse a directory in which a restore or a mend has not come to its end.

    Raises:
        Refused: it has a part of a copy, and no log; or a mended log beside the damaged one, of
            which some files may be gone already.
    """
    mended = directory / MENDED
    if mended.exists():
        raise Refused(f"a mend of {directory} was interrupted: run meterd mend again to finish it")
    part = directory / PART
    if part.exists() and not (directory / DATABASE).stat().st_size:
        raise Refused(
            f"a restore into {directory} was interrupted: run it again, or remove {part} to begin"
            " with an empty log"
        )


def is_held(directory: Path) -> bool:
    """Whether a process holds the directory now.

    To be called while the calling process has the database not open: see the module.
    """
    names = (LOCK, DATABASE) if _LOCKS_DATABASE else (LOCK,)
    return any(_is_locked(directory / name) for name in names)


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _opened(descriptors: ExitStack, path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    descriptors.callback(os.close, descriptor)
    return descriptor


def _locked(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    """Lock a file; False if another process has a lock on it."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _held(directory: Path, said: bytes) -> Refused:
    pid = said.decode("ascii", "replace").strip()
    holder = f"process {pid}" if pid.isdecimal() else "another process"
    return Refused(f"the data directory {directory} is held by {holder}")
