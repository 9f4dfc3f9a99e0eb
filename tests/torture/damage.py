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
from tests.torture.kills import some_time
from tests.torture.stage import Stage

WAL: Final = f"{DATABASE}-wal"
PAGE: Final = 4096
FILES: Final = (DATABASE, WAL, f"{DATABASE}-shm", "index.db", "index.db-wal", "meterd.mark")
SETTLED_S: Final = 60.0


def damage_file(path: Path, rng: random.Random) -> None:
    """Turn bits, or blank a sector or a page, or cut the file, at any place."""
    size = path.stat().st_size
    at = rng.randrange(size)
    how = rng.choice(["bit", "bit", "sector", "page", "cut"])
    with path.open("r+b") as file:
        if how == "cut":
            file.truncate(at)
            return
        length = {"bit": 1, "sector": 512, "page": PAGE}[how]
        at -= at % length
        file.seek(at)
        before = file.read(length)
        file.seek(at)
        file.write(bytes([before[0] ^ 1 << rng.randrange(8)]) if how == "bit" else bytes(length))


async def damage_wal(book: Tortured) -> Moment:
    """The WAL of a service that was killed is damaged before the next start.

    Where that starts, nothing may be missing. Where it refuses, `meterd verify` refuses too,
    and the undamaged files, put back, are served.
    """
    stage = book.line.stage
    await some_time(book)
    copies = stage.directory / "copies"

    def damage() -> None:
        stage.between = lambda: None
        copy_files(stage.service.data_dir, copies)
        wal = stage.service.data_dir / WAL
        if wal.exists() and wal.stat().st_size:
            damage_file(wal, book.rng)
            book.events["WALs damaged"] += 1

    failed = len(stage.failed)
    stage.between = damage
    stage.kill_service()
    if await _refuses(stage, failed):
        book.events["refused"] += 1
        assert "ends at row" in stage.failed[-1] or "cannot be" in stage.failed[-1]
        code, _, complaint = await run_verify(stage)
        assert code, "verify finds nothing in a damaged log"
        assert len(complaint.splitlines()) == 1, complaint

        def restore() -> None:
            stage.between = lambda: None
            copy_files(copies, stage.service.data_dir)

        stage.between = restore
    return book.moment()


async def _refuses(stage: Stage, failed: int) -> bool:
    """Whether the next start is refused, and not served."""
    serving = asyncio.create_task(stage.up.wait())
    refusing = asyncio.create_task(stage.ended(failed))
    either: set[asyncio.Future[Any]] = {serving, refusing}
    done, rest = await asyncio.wait(either, timeout=SETTLED_S, return_when=asyncio.FIRST_COMPLETED)
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
