"""A copy of the log while it is written, and the way back.

A copy is one file: the log with its snapshots, as of one moment. What is derived from it, the
index and the filter of keys, is made anew when a copy is restored.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from persistence.archive.lookup import Archives
from persistence.errors import Damaged, Refused
from persistence.fsync import sync
from persistence.sqlite import schema
from persistence.sqlite.data_dir import DATABASE, Claim
from persistence.sqlite.high_water_mark import MARK
from persistence.sqlite.index_file import INDEX
from persistence.sqlite.key_filter_store import FILE as KEYS
from persistence.sqlite.losses import losses_of
from persistence.sqlite.positions import unchecked
from persistence.sqlite.stored_rows import StoredRows

PAGES_AT_ONCE: Final = 2_000
_ROWS_AT_ONCE: Final = 1_000
_BESIDE: Final = ("-wal", "-shm", "-journal")


class Copied(NamedTuple):
    """What was copied: up to which position, how many rows, and the size of the file."""

    seq: int
    rows: int
    bytes: int


Progress = Callable[[int, int], None]
"""Told how many pages are copied, and how many there are."""


def back_up(directory: Path, target: Path, progress: Progress = lambda _, __: None) -> Copied:
    """Copy the log of a directory, which may be in use, to a new file.

    Args:
        directory: the data directory.
        target: the file; it is there when the copy is whole and on the disk, not before.
        progress: as `Progress`.

    Raises:
        Refused: there is no log, or the copy cannot be made; the message names the file.
    """
    source = directory / DATABASE
    if not source.exists():
        raise Refused(f"there is no {source}")
    if target.exists():
        raise Refused(f"{target} is there already")
    return _copy(source, target, progress)


def restore(backup: Path, directory: Path, progress: Progress = lambda _, __: None) -> Copied:
    """Make a copy the log of a directory that has none.

    Args:
        backup: what `back_up` wrote.
        directory: is made if it is missing, and held meanwhile.
        progress: as `Progress`.

    Raises:
        Refused: the copy is damaged, no log or of a newer version, or the directory is held,
            has a log, or cannot be written.
    """
    if not backup.exists():
        raise Refused(f"there is no {backup}")
    claim = Claim.take(directory)
    try:
        target = directory / DATABASE
        if target.stat().st_size:  # an empty one is made by the claim
            raise Refused(f"{target} is there already: move it away, or take another directory")
        # What is left of a former log must not be taken for a part of this one.
        for name in (DATABASE, INDEX):
            for suffix in _BESIDE:
                (directory / f"{name}{suffix}").unlink(missing_ok=True)
        for derived in (INDEX, KEYS, MARK):
            (directory / derived).unlink(missing_ok=True)
        return _copy(backup, target, progress)
    finally:
        claim.close()


def _copy(source: Path, target: Path, progress: Progress) -> Copied:
    part = target.with_name(f"{target.name}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with _as_of_now(source) as log, closing(sqlite3.connect(part)) as copy:
            schema.check(log, source)
            seq, rows = log.execute("SELECT coalesce(max(seq), 0), count(*) FROM log").fetchone()
            log.backup(
                copy,
                pages=PAGES_AT_ONCE,
                progress=lambda _, left, total: progress(total - left, total),
            )
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
            (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise Refused(f"{source} is damaged: {found.splitlines()[0]}")
            _check_rows(copy, source.parent, int(seq))
        sync(part)
        part.rename(target)
        sync(target.parent)
        return Copied(int(seq), int(rows), target.stat().st_size)
    except Damaged as error:
        raise Refused(f"{source} is damaged: {error.place} is not as it was written") from error
    except sqlite3.Error as error:
        raise Refused(f"{source} cannot be copied to {target}: {error}") from error
    except OSError as error:
        raise Refused(f"{target} cannot be written: {error.strerror}") from error
    finally:
        for suffix in ("", *_BESIDE):
            part.with_name(f"{part.name}{suffix}").unlink(missing_ok=True)


def _check_rows(copy: sqlite3.Connection, directory: Path, last: int) -> None:
    """Compare each row with its checksum; a log of before these has a chain, which verify follows.

    Raises:
        Damaged: one is not as it was written.
    """
    (version,) = copy.execute("PRAGMA user_version").fetchone()
    if version < schema.CHECKSUMS:
        return
    stored = StoredRows(unchecked(copy), Archives(directory), losses_of(copy))
    for after in range(0, last, _ROWS_AT_ONCE):
        stored.between(copy, after, min(after + _ROWS_AT_ONCE, last), bodies=True)


@contextmanager
def _as_of_now(path: Path) -> Iterator[sqlite3.Connection]:
    """A database as of one moment: what is written meanwhile does not start a copy anew."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)) as db:
        db.execute("BEGIN")
        yield db
