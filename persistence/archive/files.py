"""The files of an archive: rows of the log as JSON Lines, compressed in blocks.

A file is gzip of several members, one for each block, so that ``zcat`` reads it whole and one
row is read by inflating one block. It is written once and never changed; what the database
keeps of each block has a digest, so that a changed byte is found.
"""

from __future__ import annotations

import errno
import os
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from persistence.errors import ArchiveDamaged, ArchiveGone, ArchiveUnreadable
from persistence.fsync import sync
from persistence.records import Row

DIRECTORY: Final = "archive"
BLOCK_ROWS: Final = 128
"""A page of `logs` inflates as many blocks as its rows are in: with 1,000 rows to a block that
takes eight times as long, and a file is 3 % smaller."""
_LEVEL: Final = 6
_GZIP: Final = 31  # zlib's number for a stream with the header of gzip
_DIGEST_BYTES: Final = 16
_PART: Final = ".part"
_READ_BYTES: Final = 1 << 16


class ArchiveBlock(NamedTuple):
    """The place of a block in its file.

    Attributes:
        first: the position of its first row.
        offset: of its first byte.
        length: in bytes.
        digest: of these bytes, in hexadecimal digits.
    """

    first: int
    offset: int
    length: int
    digest: str


class _Line(msgspec.Struct):
    seq: int
    partition: int
    user: str
    key: str | None
    kind: str
    at: int
    notify: bool
    body: msgspec.Raw


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Line).decode
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode
_blocks: Final = msgspec.json.Decoder(list[ArchiveBlock]).decode


def line_of(row: Row) -> bytes | None:
    """The line of a row; None if its body is not JSON that a line gives back as it is."""
    body = row.body.encode()
    try:
        value = bytes(_check(body))
    except msgspec.DecodeError:
        return None
    if value != body or b"\n" in body or b"\r" in body:
        return None
    return _encode(_Line(*row[:7], msgspec.Raw(body)))


class Writing:
    """A file that is being written, beside the place where it will be.

    Args:
        directory: of the archives; made if it is missing.
        name: of the file.

    Attributes:
        blocks: what is written so far.
        rows: how many.
    """

    def __init__(self, directory: Path, name: str) -> None:
        if not directory.exists():
            directory.mkdir(mode=0o700)
        sync(directory.parent)  # maybe it was made by a process that ended before it was synced
        for part in directory.glob(f"*.jsonl.gz{_PART}"):  # of a process that ended
            part.unlink()
        self.blocks: list[ArchiveBlock] = []
        self.rows = 0
        self._path = directory / name
        self._part = directory / f"{name}{_PART}"
        self._descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._offset = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Write rows, in order of ``seq``, in blocks; those that fit into no line are left out."""
        lines = [(row.seq, line) for row in rows if (line := line_of(row)) is not None]
        for start in range(0, len(lines), BLOCK_ROWS):
            lump = lines[start : start + BLOCK_ROWS]
            compressing = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            text = b"".join([line + b"\n" for _, line in lump])
            content = compressing.compress(text) + compressing.flush()
            _write_all(self._descriptor, content)
            self.blocks.append(
                ArchiveBlock(lump[0][0], self._offset, len(content), digest_of(content))
            )
            self._offset += len(content)
        self.rows += len(lines)

    def finish(self) -> None:
        """Put the file into its place; after that it is on the disk."""
        os.fsync(self._descriptor)
        self._part.rename(self._path)
        sync(self._path.parent)

    def close(self) -> None:
        """Close the file, and remove it if it is not finished."""
        os.close(self._descriptor)
        self._part.unlink(missing_ok=True)


def blocks_of(stored: str) -> list[ArchiveBlock]:
    """What the database keeps of the blocks of a file.

    Raises:
        ArchiveDamaged: it is not what was stored.
    """
    try:
        blocks = _blocks(stored)
    except (TypeError, msgspec.DecodeError) as error:
        raise ArchiveDamaged(f"what the log keeps of an archive cannot be read: {error}") from error
    if not blocks:
        raise ArchiveDamaged("the log keeps no blocks of an archive")
    return blocks


def blocks_in(file: BinaryIO) -> Iterator[ArchiveBlock]:
    """The blocks of a file as they are in it, each of which is a member of gzip.

    Raises:
        OSError: it cannot be read.
        ValueError: its end is missing, or it is none of ours.
        zlib.error: likewise.
    """
    offset, left = 0, file.read(_READ_BYTES)
    while left:
        inflating, text, content = zlib.decompressobj(_GZIP), b"", b""
        while left and not inflating.eof:
            text += inflating.decompress(left)
            content += left[: len(left) - len(inflating.unused_data)]
            left = inflating.unused_data or file.read(_READ_BYTES)
        if not inflating.eof:
            raise ValueError("its end is missing")
        first = int(text.split(b",", 1)[0].removeprefix(b'{"seq":'))
        yield ArchiveBlock(first, offset, len(content), digest_of(content))
        offset += len(content)


def bodies(
    path: Path, blocks: Sequence[ArchiveBlock], positions: Iterable[int] | None = None
) -> dict[int, str]:
    """The bodies of rows by their position, as they were, byte for byte.

    Args:
        path: the file.
        blocks: some that follow each other.
        positions: of rows in these blocks, in order, None: of all.

    Raises:
        ArchiveGone: the file is not there.
        ArchiveDamaged: it is not as it was written, or the disk does not give it back.
        ArchiveUnreadable: it cannot be read.
    """
    wanted = dict[int, list[int] | None]()
    if positions is None:
        wanted = dict.fromkeys(range(len(blocks)))
    else:
        firsts = [block.first for block in blocks]
        for number, lump in groupby(positions, lambda seq: bisect_right(firsts, seq) - 1):
            wanted[number] = [*lump]
    found: dict[int, str] = {}
    try:
        with path.open("rb") as file:
            for number, among in wanted.items():
                block = blocks[max(number, 0)]
                file.seek(block.offset)
                found |= _bodies(_inflated(path, block, file.read(block.length)), among)
    except FileNotFoundError:
        raise ArchiveGone(f"the archive {path.name} is not there") from None
    except OSError as error:
        why = f"the archive {path.name} cannot be read: {error.strerror}"
        # What the disk has lost does not come back by itself; anything else may.
        raise (ArchiveDamaged if error.errno == errno.EIO else ArchiveUnreadable)(why) from error
    except (ValueError, zlib.error) as error:  # what the log says of its blocks was changed too
        raise ArchiveDamaged(f"the archive {path.name} is not as it was written") from error
    return found


def _inflated(path: Path, block: ArchiveBlock, content: bytes) -> bytes:
    if digest_of(content) != block.digest:
        why = f"the archive {path.name} is not as it was written, from row {block.first} on"
        raise ArchiveDamaged(why)
    return zlib.decompress(content, _GZIP)


def _bodies(text: bytes, wanted: Sequence[int] | None) -> dict[int, str]:
    """The bodies of the lines of a block: of all, or of some, in order."""
    if wanted is None:
        lines = map(_decode, text.splitlines())
        return {line.seq: bytes(line.body).decode() for line in lines}
    # Most reads want one line of a block, and to look at each by itself holds the loop up.
    found: dict[int, str] = {}
    text, begin = b"\n" + text, 0
    for seq in wanted:
        begin = text.find(b'\n{"seq":%d,' % seq, begin)
        if begin < 0:
            raise ArchiveDamaged(f"an archive has no row {seq}")
        found[seq] = bytes(_decode(text[begin : text.index(b"\n", begin + 1)]).body).decode()
    return found


def digest_of(content: bytes) -> str:
    """What the log keeps of the bytes of a block."""
    return blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
