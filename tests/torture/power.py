"""The power goes: what was written and not synced is lost, all of it or any part.

The shim keeps what each write overwrote, and which syncs came behind it. So what a disk may
hold after a cut can be made of the files that the kernel has. Names of files are taken to be
stored at once.
"""

from __future__ import annotations

import ctypes
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.torture.book import Moment, Tortured
from tests.torture.kills import SHOTS, some_time
from tests.torture.rounds import Fault
from tests.torture.shim import How, Op

SECTOR: Final = 512
ALL_LOST: Final = 0.4
"""How often nothing that was not synced is left."""
ENDED_S: Final = 1.5


class _Header(ctypes.Structure):
    """``struct record`` of `shim.c`."""

    _fields_ = (
        ("kind", ctypes.c_int32),
        ("length", ctypes.c_int32),
        ("offset", ctypes.c_int64),
        ("size_before", ctypes.c_int64),
        ("kept", ctypes.c_int64),
        ("path", ctypes.c_char * 256),
    )


class Record(NamedTuple):
    """A write, a truncation or a sync, and what was there before."""

    op: Op
    path: Path
    offset: int
    length: int
    size_before: int
    kept: bytes


def records(undo: Path) -> Iterator[Record]:
    """All that the shim kept, oldest first; the last one may be cut."""
    data = undo.read_bytes() if undo.exists() else b""
    at, size = 0, ctypes.sizeof(_Header)
    while at + size <= len(data):
        head = _Header.from_buffer_copy(data, at)
        at += size
        kept = data[at : at + head.kept]
        at += head.kept
        if len(kept) == head.kept:
            path = Path(head.path.decode())
            yield Record(Op(head.kind), path, head.offset, head.length, head.size_before, kept)


def unsynced(undo: Path, *, syncs_hold: bool = True) -> list[Record]:
    """The writes behind the last sync of their file, newest first."""
    synced: set[Path] = set()
    found = []
    for record in reversed(list(records(undo))):
        if record.op is Op.SYNC:
            if syncs_hold:
                synced.add(record.path)
        elif record.path not in synced and record.path.exists():
            found.append(record)
    return found


def lose(undo: Path, rng: random.Random) -> int:
    """Make of the files what may be left after a cut; how many writes were not synced."""
    everything = rng.random() < ALL_LOST
    found = unsynced(undo)
    for record in found:
        if everything or rng.random() < 0.5:
            _take_back(record, rng, whole=everything or rng.random() < 0.5)
    undo.unlink(missing_ok=True)
    return len(found)


def lose_what_was_synced(undo: Path, rng: random.Random) -> int:
    """As a disk that says it has synced and has not."""
    found = unsynced(undo, syncs_hold=False)
    for record in found:
        _take_back(record, rng, whole=True)
    undo.unlink(missing_ok=True)
    return len(found)


def _take_back(record: Record, rng: random.Random, *, whole: bool) -> None:
    with record.path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        before = record.kept
        if record.op is Op.WRITE and size > record.size_before and not whole:
            # The file has its new length, and nothing of the write in its new part.
            before = before.ljust(min(record.length, size - record.offset), b"\0")
        for start in range(0, len(before), SECTOR):
            if whole or rng.random() < 0.5:
                file.seek(record.offset + start)
                file.write(before[start : start + SECTOR])
        if whole and size != record.size_before:
            file.truncate(record.size_before)


def cutting(lose: Callable[[Path, random.Random], int]) -> Fault:
    """Cut the power at any time, or before, in or after a write or a sync."""

    async def cut(book: Tortured) -> Moment:
        stage, rng = book.line.stage, book.rng

        def before_the_next_start() -> None:
            book.events["writes not synced"] += lose(stage.shim.undo, rng)

        stage.between = before_the_next_start
        await some_time(book)
        ops, calls = rng.choice(SHOTS)
        stage.shim.kill_at(rng.randint(1, calls), rng.choice(list(How)), *ops)
        book.events["died at a call"] += await stage.die_at_a_call(ENDED_S)
        return book.moment()

    return cut
