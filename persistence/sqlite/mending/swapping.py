"""The mended database takes the place of the damaged one, whose files are kept.

The new file has its own name once it is whole and on the disk. From then on a start beside it is
refused, and whoever mends again finishes what is left: each file goes to where it is kept, unless
it is there already, and with the last step the new file takes the name of the database. Before,
the old files are as they were; behind, the new one is alone. A WAL must never lie beside a
database that is not its own, so it goes first.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from shutil import copyfile
from typing import Final

from messages.units import to_datetime
from persistence.errors import Refused
from persistence.fsync import sync
from persistence.sqlite.data_dir import DATABASE, MENDED, WAL
from persistence.sqlite.high_water_mark import MARK, HighWaterMark
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.key_filter_store import FILE as KEYS

WRITING: Final = "meterd.db.mending"
"""The new database while it is written."""
_DERIVED: Final = (f"{INDEX}{WAL}", INDEX, KEYS)
_SHARED: Final = "-shm"
"""What SQLite adds to a name for memory that processes share; nothing in it is to be kept."""


def finish(directory: Path, end: int) -> Path:
    """Put the mended database of a directory into its place; where the damaged files are now.

    Args:
        directory: it is claimed, and has `MENDED`.
        end: the newest position of the mended log.

    Raises:
        Refused: a file cannot be moved; it can be tried again.
    """
    new = directory / MENDED
    try:
        made = to_datetime(new.stat().st_mtime_ns // 1_000)
        kept = _kept_in(directory, made)
        # If the database is a link, what that leads to stays where it is, with its WAL.
        _move(directory / f"{DATABASE}{WAL}", kept)
        for name in _DERIVED:
            _move(directory / name, kept)
        if not (kept / MARK).exists():  # else this one is new
            _move(directory / MARK, kept)
        for name in (DATABASE, INDEX):
            (directory / f"{name}{_SHARED}").unlink(missing_ok=True)
        _keep(directory / DATABASE, kept / DATABASE)
        sync(kept)
        sync(directory)
        mark(directory, end)
        new.rename(directory / DATABASE)
        sync(directory)
    except OSError as error:
        raise Refused(f"{error.filename or directory} cannot be moved: {error.strerror}") from error
    return kept


def put_derived_aside(directory: Path, now: datetime) -> Path | None:
    """Move what is derived to where damaged files are kept; None if there is nothing of it.

    Raises:
        Refused: a file cannot be moved.
    """
    try:
        if not any((directory / name).exists() for name in _DERIVED):
            return None
        kept = _kept_in(directory, now)
        for name in _DERIVED:
            _move(directory / name, kept)
        (directory / f"{INDEX}{_SHARED}").unlink(missing_ok=True)
        sync(kept)
        sync(directory)
    except OSError as error:
        raise Refused(f"{error.filename or directory} cannot be moved: {error.strerror}") from error
    return kept


def _kept_in(directory: Path, moment: datetime) -> Path:
    kept = directory / f"damaged-{moment:%Y%m%dT%H%M%S.%fZ}"
    kept.mkdir(mode=0o700, exist_ok=True)
    sync(directory)
    return kept


def _move(path: Path, kept: Path) -> None:
    """Move a file, if it is there; a file is never written over."""
    if not path.exists():
        return
    target, number = kept / path.name, 1
    while target.exists():
        number += 1
        target = kept / f"{path.name}.{number}"
    path.rename(target)


def _keep(path: Path, target: Path) -> None:
    """Have another name lead to a file, which keeps its own until the new one takes it."""
    if target.is_symlink() or target.exists():  # of a mend that was interrupted here
        return
    if path.is_symlink():
        target.symlink_to(os.path.realpath(path))
        return
    try:
        os.link(path, target)
    except OSError:  # a file system without such names
        part = target.with_name(f"{target.name}.part")
        copyfile(path, part)
        part.chmod(0o600)
        sync(part)
        part.rename(target)


def mark(directory: Path, end: int) -> None:
    """Say how far the mended log goes; raises OSError."""
    opened = HighWaterMark.open(directory)
    opened.advance(end)
    opened.close()
    sync(directory / MARK)
