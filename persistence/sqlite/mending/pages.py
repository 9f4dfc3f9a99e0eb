"""Rows out of the pages of a database, without SQLite: where it finds no way to them any more.

A page that leads to others may be damaged while these are whole. So every page is looked at, in
the file and in its WAL, also behind a frame with which the WAL ends for SQLite. Nothing says
whether what is found is of now, or of a table at all: whoever takes it has to compare checksums.
The format: https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Final, TypeAlias

Value: TypeAlias = "int | float | str | bytes | None"
Cell: TypeAlias = "tuple[int, list[Value]]"
"""The id of a row, and the fields of its record."""

_LEAF: Final = 13
_OTHERS: Final = frozenset({2, 5, 10})
"""With what other pages of trees begin: these have no rows of tables."""
_SIZES: Final = frozenset(1 << power for power in range(9, 17))
_USUAL: Final = 4_096
_VARINT_MAX: Final = 9
_HEAD: Final = re.compile(rb"[\x06-\x40](?=\x00)")
"""How a record of ours begins: with how long its head is, and an id that is not in it."""
_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_SECTOR: Final = 512
_SHORT: Final = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
"""How many bytes a field has, by the number of its type below 12."""


class Pages:
    """The pages of a database and of its WAL. What the disk does not give back of them is blank.

    Args:
        database: the file, or None.
        wal: its WAL, or None.

    Raises:
        OSError: they cannot be read.
    """

    def __init__(self, database: Path, wal: Path) -> None:
        self._file = database.open("rb", buffering=0) if database.exists() else None
        self._wal = wal.open("rb", buffering=0) if wal.exists() else None
        head = _read(self._file, 0, 100) if self._file else b""
        size = int.from_bytes(head[16:18], "big")
        self._size = {1: 65_536}.get(size, size)
        if self._size not in _SIZES:
            self._size = _USUAL
        self._in_wal: dict[int, int] = {}  # the newest frame of each page
        for place, number in self._frames():
            self._in_wal[number] = place

    def close(self) -> None:
        """Close both files."""
        for file in (self._file, self._wal):
            if file is not None:
                file.close()

    def cells(self, wanted: Callable[[int], bool]) -> Iterator[Cell]:
        """Each row of a table that any page has, maybe more than once, if its id is wanted."""
        for page, first in self._all():
            yield from self._of_page(page, 100 if first else 0, wanted)

    def _all(self) -> Iterator[tuple[bytes, bool]]:
        number = 0
        if self._file is not None:
            while True:
                page = _read(self._file, number * self._size, self._size)
                if len(page) < 512:
                    break
                yield page.ljust(self._size, b"\0"), number == 0
                number += 1
        for place, number in self._frames():
            yield self._read_frame(place), number == 1

    def _frames(self) -> Iterator[tuple[int, int]]:
        """Where the page of each frame of the WAL begins, and its number."""
        if self._wal is None:
            return
        place = _WAL_HEADER
        while True:
            head = _read(self._wal, place, _FRAME_HEADER)
            if len(head) < _FRAME_HEADER:
                return
            yield place + _FRAME_HEADER, int.from_bytes(head[:4], "big")
            place += _FRAME_HEADER + self._size

    def _read_frame(self, place: int) -> bytes:
        assert self._wal is not None
        return _read(self._wal, place, self._size).ljust(self._size, b"\0")

    def _of_page(self, page: bytes, begin: int, wanted: Callable[[int], bool]) -> Iterator[Cell]:
        if page[begin] in _OTHERS or not page.strip(b"\0"):
            return
        if page[begin] == _LEAF:
            count = int.from_bytes(page[begin + 3 : begin + 5], "big")
            table = page[begin + 8 : begin + 8 + 2 * count]
            places = struct.unpack(f">{len(table) // 2}H", table[: len(table) // 2 * 2])
            found = [cell for at in places if (cell := self._cell(page, at, wanted)) is not None]
            yield from found
            if count and all(at < len(page) for at in places) and 2 * count == len(table):
                return
        # Its beginning is damaged, or it is of no tree: rows may be anywhere.
        for match in _HEAD.finditer(page):
            record = match.start()
            for at in range(max(record - 2 * _VARINT_MAX, 0), record - 1):
                if (cell := self._cell(page, at, wanted, record)) is not None:
                    yield cell

    def _cell(
        self, page: bytes, at: int, wanted: Callable[[int], bool], record: int | None = None
    ) -> Cell | None:
        """The row that begins at a place of a page, if one does, with its record at another."""
        try:
            length, at = _varint(page, at)
            rowid, at = _varint(page, at)
            if record not in {None, at} or not wanted(rowid):
                return None
        except IndexError:
            return None
        room = self._size
        local = length
        if length > room - 35:
            least = (room - 12) * 32 // 255 - 23
            local = least + (length - least) % (room - 4)
            local = local if local <= room - 35 else least
        payload = page[at : at + local]
        if length > local:
            if length > 1 << 24:
                return None
            number = int.from_bytes(page[at + local : at + local + 4], "big")
            payload += self._overflow(number, length - local)
        if len(payload) < length:
            return None
        fields = _record(payload)
        return None if fields is None else (rowid, fields)

    def _overflow(self, number: int, length: int) -> bytes:
        """What pages of a list have of a row, each the next one's number before it."""
        found = bytearray()
        seen = set[int]()
        while number and number not in seen and len(found) < length:
            seen.add(number)
            page = self._page(number)
            number = int.from_bytes(page[:4], "big")
            found += page[4 : self._size]
        return bytes(found[:length])

    def _page(self, number: int) -> bytes:
        if number in self._in_wal:
            return self._read_frame(self._in_wal[number])
        if self._file is None:
            return b""
        return _read(self._file, (number - 1) * self._size, self._size)


def _read(file: FileIO, place: int, size: int) -> bytes:
    """Bytes of a file, fewer than asked for at its end alone; lost sectors are blank.

    Raises:
        OSError: anything else is in the way.
    """
    found = _pread(file, place, size)
    if found is not None and len(found) == size:
        return found
    # It ends here, or the disk does not give all of it back, which may show as fewer bytes.
    end = min(place + size, os.fstat(file.fileno()).st_size)
    pieces = bytearray()
    while (at := place + len(pieces)) < end:
        length = min(_SECTOR - at % _SECTOR, end - at)
        pieces += (_pread(file, at, length) or b"").ljust(length, b"\0")
    return bytes(pieces)


def _pread(file: FileIO, place: int, size: int) -> bytes | None:
    """Bytes of a file, maybe fewer; None if the disk does not give them back."""
    try:
        return os.pread(file.fileno(), size, place)
    except OSError as error:
        if error.errno != errno.EIO:
            raise OSError(error.errno, error.strerror, file.name) from error
        return None


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 9 bytes, and the place behind it."""
    value = 0
    for place in range(at, at + 8):
        byte = page[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + 1
    return value << 8 | page[at + 8], at + 9


def _record(payload: bytes) -> list[Value] | None:
    """The fields of a record; None if it is none."""
    try:
        end, at = _varint(payload, 0)
        types: list[int] = []
        while at < end:
            kind, at = _varint(payload, at)
            types.append(kind)
    except IndexError:
        return None
    fields: list[Value] = []
    for kind in types:
        size = _SHORT[kind] if kind < len(_SHORT) else max((kind - 12) // 2, 0)
        content = payload[at : at + size]
        at += size
        if len(content) < size or kind in {10, 11}:
            return None
        fields.append(_value(kind, content))
    return fields


def _value(kind: int, content: bytes) -> Value:
    if kind >= 12:
        return content if kind % 2 == 0 else content.decode("utf-8", "surrogateescape")
    if kind == 0:
        return None
    if kind == 7:
        (number,) = struct.unpack(">d", content)
        return float(number)
    return kind - 8 if kind >= 8 else int.from_bytes(content, "big", signed=True)
