"""The file of a filter of keys: a header, the words of its parts, a checksum over all.

```
"mtrdkeys"  length of the header (4 bytes)  header (JSON)  words of each part  CRC-32 (4 bytes)
```

The numbers are in the machine's order of bytes, which the header names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from persistence.errors import Corrupt
from persistence.key_filter import VERSION, WORD_BYTES, Part, empty_words

_MAGIC: Final = b"mtrdkeys"
_NUMBER: Final = 4
_PIECE: Final = 1 << 18
"""Bytes that are copied at once, which takes the interpreter lock for some 50 us."""
_PIECES_PER_SYNC: Final = 8


class _Header(msgspec.Struct, frozen=True):
    version: int
    byteorder: str
    seq: int
    anchor: str
    words: list[int]
    left: list[int]


class Kept(NamedTuple):
    """What a file holds: every key of the log up to ``seq``, whose row ``anchor`` marks."""

    parts: list[Part]
    seq: int
    anchor: str


def write(path: Path, parts: Sequence[Part], seq: int, anchor: str) -> None:
    """Replace the file by one of these parts, whole or not at all.

    Raises:
        OSError: it cannot be written; the file is what it was.
    """
    header = _Header(
        VERSION,
        sys.byteorder,
        seq,
        anchor,
        [len(part.words) for part in parts],
        [part.left for part in parts],
    )
    new = path.with_name(f"{path.name}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            digest = 0
            for number, piece in enumerate(_pieces(header, parts), 1):
                digest = crc32(piece, digest)
                file.write(piece)
                # In small parts: a commit of the log waits for what is synced before it.
                if number % _PIECES_PER_SYNC == 0:
                    file.flush()
                    os.fdatasync(file.fileno())
            file.write(_bytes(digest))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def read(path: Path) -> Kept:
    """Read the file.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
        Corrupt: it is damaged, or of another version.
    """
    with path.open("rb") as file:
        header, digest = _read_header(file)
        rest = sum(header.words) * WORD_BYTES + _NUMBER
        if os.fstat(file.fileno()).st_size - file.tell() != rest:
            raise Corrupt("its length is not what it says")
        parts = []
        for count, left in zip(header.words, header.left, strict=True):
            words = empty_words(count)
            data = words.cast("B")
            file.readinto(data)
            digest = crc32(data, digest)
            parts.append(Part(words, left))
        if file.read() != _bytes(digest):
            raise Corrupt("it is damaged")
    return Kept(parts, header.seq, header.anchor)


def _read_header(file: BufferedReader) -> tuple[_Header, int]:
    """The header and the checksum up to its end."""
    start = file.read(len(_MAGIC) + _NUMBER)
    if not start.startswith(_MAGIC):
        raise Corrupt("it is no filter of keys")
    text = file.read(int.from_bytes(start[len(_MAGIC) :], "little"))
    try:
        header = msgspec.json.decode(text, type=_Header)
    except msgspec.DecodeError as error:
        raise Corrupt("it is damaged") from error
    if (header.version, header.byteorder) != (VERSION, sys.byteorder):
        raise Corrupt("it is of another version")
    if not header.words or len(header.words) != len(header.left) or min(header.words) < 1:
        raise Corrupt("it is damaged")
    return header, crc32(text, crc32(start))


def _pieces(header: _Header, parts: Sequence[Part]) -> Iterator[bytes]:
    text = msgspec.json.encode(header)
    yield _MAGIC + _bytes(len(text)) + text
    for part in parts:
        words = part.words.cast("B")
        for start in range(0, len(words), _PIECE):
            yield bytes(words[start : start + _PIECE])


def _bytes(number: int) -> bytes:
    return number.to_bytes(_NUMBER, "little")
