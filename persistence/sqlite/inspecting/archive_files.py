"""The files of the archive, block by block, against the digests that the log has of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from persistence.archive.files import DIRECTORY, ArchiveBlock, digest_of
from persistence.sqlite.inspecting.fault import Fault, rows_named
from persistence.sqlite.inspecting.notes import check_archives

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
            yield from _file(directory / DIRECTORY / entry[0], *entry[1:])


def _file(path: Path, blocks: Sequence[ArchiveBlock], *_: Any) -> Iterator[Fault]:
    name = f"{DIRECTORY}/{path.name}"
    last = int(path.name.partition("-")[2].partition(".")[0])
    try:
        with path.open("rb") as file:
            size = 0
            for block, after in zip(blocks, [*blocks[1:], None], strict=True):
                file.seek(block.offset)
                content = file.read(block.length)
                size = max(size, block.offset + block.length)
                if digest_of(content) != block.digest:
                    upto = last if after is None else after.first - 1
                    rows = rows_named(block.first, upto)
                    why = f"the block with {rows} is not as it was written"
                    place = f"the block at byte {block.offset:,}"
                    yield Fault("archive", name, place, why, PUT_BACK, first=block.first, last=upto)
            file.seek(0, 2)
            if file.tell() > size:
                why = f"it has {file.tell() - size:,} bytes behind its last block"
                yield Fault("archive", name, "its end", why, PUT_BACK)
    except FileNotFoundError:
        return
    except (OSError, OverflowError, ValueError) as error:
        why = f"it cannot be read: {getattr(error, 'strerror', None) or error}"
        yield Fault("archive", name, "the whole file", why, PUT_BACK)
