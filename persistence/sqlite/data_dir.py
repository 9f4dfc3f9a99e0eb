"""The data directory: created for its owner alone, and held by one process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from persistence.errors import Refused

DATABASE: Final = "meterd.db"
LOCK: Final = "meterd.lock"


def claim(directory: Path) -> int:
    """Create the directory and an empty database where they are missing, and lock them.

    Returns:
        The descriptor that holds the lock; closing it, or the process's end, releases it.

    Raises:
        Refused: held by another process, or it cannot be created or written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(directory, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        # SQLite gives the files beside the database the mode of the database.
        os.close(os.open(directory / DATABASE, os.O_RDWR | os.O_CREAT, 0o600))
    except BlockingIOError as error:
        holder = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise Refused(f"the data directory {directory} is held by process {holder}") from error
    except OSError as error:
        os.close(lock)
        raise _unusable(directory, error) from error
    return lock


def is_held(directory: Path) -> bool:
    """Whether a process holds the directory now."""
    try:
        lock = os.open(directory / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _unusable(directory: Path, error: OSError) -> Refused:
    return Refused(f"the data directory {directory} cannot be used: {error.strerror}")
