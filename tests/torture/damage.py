"""Bytes of the files that are not what was written: in the WAL, and in pages of the database."""

from __future__ import annotations

import asyncio
import random
import shutil
from pathlib import Path
from typing import Any, Final

from persistence.sqlite.data_dir import DATABASE
from tests.torture.book import Moment, Tortured
from tests.torture.judging import run_verify
from tests.torture.kills import some_change, some_time
from tests.torture.stage import NEVER_S, Stage

WAL: Final = f"{DATABASE}-wal"
PAGE: Final = 4096
FILES: Final = (DATABASE, WAL, f"{DATABASE}-shm", "index.db", "index.db-wal", "meterd.mark")
LONG: Final = 60
"""Bytes of a body that is no part of something else."""


def damage_file(path: Path, rng: random.Random) -> None:
    """Turn a bit, or blank a sector or a page, or cut the file, so that it is another one."""
    content = path.read_bytes()
    while True:
        at = rng.randrange(len(content))
        how = rng.choice(["bit", "bit", "sector", "page", "cut"])
        if how == "cut":
            damaged = content[:at]
        elif how == "bit":
            damaged = turned(content, at, rng)
        else:
            length = {"sector": 512, "page": PAGE}[how]
            at -= at % length
            rest = content[at:]
            damaged = content[:at] + bytes(len(rest[:length])) + rest[length:]
        if damaged != content:  # much of a page is blank anyway
            path.write_bytes(damaged)
            return


def turned(content: bytes, at: int, rng: random.Random) -> bytes:
    """Bytes with any bit of the one at a place turned."""
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]


async def damage_wal(book: Tortured) -> Moment:
    """The WAL of a service that was killed is damaged anywhere before the next start.

    If that starts, nothing may be missing. If it refuses, `meterd verify` refuses too,
    and the undamaged files, put back, are served.
    """
    stage = book.line.stage
    await stage.up.wait()
    await some_change(book)  # a start leaves an empty WAL
    await some_time(book)
    copies = stage.directory / "copies"

    def damage() -> None:
        stage.between = lambda: None
        copy_files(stage.service.data_dir, copies)
        damage_file(stage.service.data_dir / WAL, book.rng)
        book.events["WALs damaged"] += 1

    failed = len(stage.failed)
    stage.between = damage
    stage.kill_service()
    if not await _refuses(stage, failed):
        return book.moment()
    book.events["refused"] += 1
    assert DATABASE in stage.failed[-1], stage.failed[-1]
    code, _, complaint = await run_verify(stage)
    assert code, "verify finds nothing in a damaged log"
    assert len(complaint.splitlines()) == 1, complaint

    def restore() -> None:
        stage.between = lambda: None
        copy_files(copies, stage.service.data_dir)

    stage.between = restore
    return book.moment()


def damage_row(path: Path, bodies: list[str], rng: random.Random) -> None:
    """Turn a bit in one of the bodies of a log's rows, so that a row of it is another one.

    It is turned wherever the file has this body: a page that was split may keep a copy.
    """
    content = path.read_bytes()
    # One that is not in one piece goes on in a page of its own.
    long = [body.encode() for body in bodies if len(body) >= LONG]
    body = rng.choice([body for body in long if body in content])
    path.write_bytes(content.replace(body, turned(body, rng.randrange(len(body)), rng)))


async def _refuses(stage: Stage, failed: int) -> bool:
    """Whether the next start is refused, and not served."""
    serving = asyncio.create_task(stage.up.wait())
    refusing = asyncio.create_task(stage.ended(failed))
    either: set[asyncio.Future[Any]] = {serving, refusing}
    done, rest = await asyncio.wait(either, timeout=NEVER_S, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    assert done, "it neither serves nor ends"
    return refusing in done


def copy_files(source: Path, target: Path) -> None:
    """Have the files of one data directory in another, and no others of these."""
    target.mkdir(exist_ok=True)
    for name in FILES:
        (target / name).unlink(missing_ok=True)
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
