"""The files of the archive, block by block, against the digests that the log has of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from persistence.archive.files import DIRECTORY, ArchiveBlock, digest_of
from persistence.sqlite.connection import is_unread
from persistence.sqlite.inspecting.fault import USERS_MAX, Fault, rows_named
from persistence.sqlite.inspecting.notes import check_archives

_EMPTY: Final = "FROM log WHERE seq BETWEEN ? AND ? AND body = ''"
_USERS: Final = f"SELECT user_id {_EMPTY} GROUP BY user_id ORDER BY min(seq) LIMIT ?"
_MOMENTS: Final = f"SELECT min(at), max(at) {_EMPTY}"
PUT_BACK: Final = "put a copy of the file back in its place"


def check_archive_files(db: sqlite3.Connection, directory: Path) -> Iterator[Fault]:
    """What is wrong with the archives of a directory; a file that is not there is not looked at.

    What the lines say is compared with the rows by whoever goes through these.

    Args:
        db: a connection to the log.
        directory: the data directory.

    Raises:
        sqlite3.Error: the log cannot be read, for another reason than damage.
    """
    for entry in check_archives(db):
        if isinstance(entry, Fault):
            yield entry
        else:
            for fault in _file(directory / DIRECTORY / entry[0], entry[1]):
                yield fault if fault.first is None else _whose(db, fault)


def _file(path: Path, blocks: Sequence[ArchiveBlock]) -> Iterator[Fault]:
    name = f"{DIRECTORY}/{path.name}"
    try:
        last = int(path.name.partition("-")[2].partition(".")[0])
        with path.open("rb") as file:
            size = 0
            for block, after in zip(blocks, [*blocks[1:], None], strict=True):
                file.seek(block.offset)
                content = file.read(block.length)
                size = max(size, block.offset + block.length)
                if digest_of(content) != block.digest:
                    upto = last if after is None else after.first - 1
                    rows = rows_named(block.first, upto)
                    why = f"the block of {path.name} with {rows} is not as it was written"
                    place = f"the block at byte {block.offset:,}"
                    yield Fault("archive", name, place, why, PUT_BACK, first=block.first, last=upto)
            file.seek(0, 2)
            if file.tell() > size:
                why = f"{path.name} has {file.tell() - size:,} bytes behind its last block"
                yield Fault("archive", name, "its end", why, PUT_BACK)
    except FileNotFoundError:
        return
    except (OSError, OverflowError, ValueError) as error:
        why = f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}"
        yield Fault("archive", name, "the whole file", why, PUT_BACK)


def _whose(db: sqlite3.Connection, fault: Fault) -> Fault:
    """A fault with the users and moments of its rows, as the log says."""
    rows = (fault.first, fault.last)
    try:
        users = db.execute(_USERS, (*rows, USERS_MAX)).fetchall()
        first, last = db.execute(_MOMENTS, rows).fetchone()
    except sqlite3.Error as error:
        if not is_unread(error):
            raise
        return fault
    at = (first, last) if isinstance(first, int) and isinstance(last, int) else None
    return fault._replace(users=tuple([user for (user,) in users]), at=at)
