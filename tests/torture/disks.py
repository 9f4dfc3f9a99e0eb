"""Faults of the disk: full, failing, read-only, slow."""

from __future__ import annotations

import asyncio
import errno
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.torture.book import Moment, Tortured
from tests.torture.kills import some_change, some_time
from tests.torture.shim import DATA_FILES, Op
from tests.torture.stage import NEVER_S, now

MIB: Final = 1 << 20
DISK_MIB: Final = 48
LASTS_S: Final = (0.2, 1.5)
ROOM_BYTES: Final = 60_000
START_S: Final = 2.0
SLOW_S: Final = (0.05, 0.1, 0.5, 2.0)
SLOW_LASTS_S: Final = 6.0
STALLS_MAX: Final = 1
LOOK_S: Final = 0.02
BALLAST: Final = "ballast"
PLACES: Final = (DATA_FILES, DATA_FILES, "meterd.db-wal", "meterd.db", "index.db", "keys.filter")


class NotRunError(Exception):
    """This machine does not let the fault be made."""


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """The data of a stage on a small disk of its own."""
    data = directory / "data"
    data.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0700", "tmpfs", str(data)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        raise NotRunError(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True)


async def fill_disk(book: Tortured) -> Moment:
    """The disk is full: changes are refused, and taken again as soon as there is room."""
    await some_time(book)
    ballast = book.line.stage.service.data_dir / BALLAST
    room = book.rng.randrange(ROOM_BYTES)
    with ballast.open("wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(bytes(MIB))
        file.truncate(max(file.tell() - room, 0))
    try:
        await _refused(book)
    finally:
        ballast.unlink()
    return book.moment()


async def cut_writes(book: Tortured) -> Moment:
    """As a full disk, in the middle of any write."""
    await some_time(book)
    with book.line.stage.shim.full(book.rng.randrange(ROOM_BYTES)):
        await _refused(book)
    return book.moment()


async def _refused(book: Tortured) -> None:
    """Wait until a full disk was met, and a little longer; the service lives on."""
    stage = book.line.stage
    failed = len(stage.failed)
    book.unavailable.clear()
    async with asyncio.timeout(NEVER_S):
        await book.unavailable.wait()
    await asyncio.sleep(book.rng.uniform(*LASTS_S))
    assert len(stage.failed) == failed, "a full disk ended the service"


def failing(error: int, *ops: Op) -> Callable[[Tortured], Awaitable[Moment]]:
    """Some calls on some files fail, once, a few times or for a while."""

    async def fail(book: Tortured) -> Moment:
        await some_time(book)
        stage, rng = book.line.stage, book.rng
        place, times = rng.choice(PLACES), rng.choice([1, 1, 3, -1])
        skip, which = rng.randrange(30), rng.choice(ops)
        with stage.shim.failing(error, which, skip=skip, times=times, match=place):
            await asyncio.sleep(rng.uniform(*LASTS_S))
        return book.moment()

    return fail


def failing_start(error: int, *ops: Op) -> Callable[[Tortured], Awaitable[Moment]]:
    """Some calls on some files fail while the service starts."""

    async def fail(book: Tortured) -> Moment:
        await some_time(book)
        stage, rng = book.line.stage, book.rng
        place, times = rng.choice(PLACES), rng.choice([1, 1, 2, -1])
        failed = len(stage.failed)
        stage.kill_service()
        which, skip = rng.choice(ops), rng.choice([0, 0, rng.randrange(40)])
        with (
            suppress(TimeoutError),
            stage.shim.failing(error, which, skip=skip, times=times, match=place),
        ):
            async with asyncio.timeout(START_S):
                await stage.ended(failed)
        book.events["starts refused"] += len(stage.failed) > failed
        return book.moment()

    return fail


async def failing_sync_of_the_log(book: Tortured) -> Moment:
    """The next sync of the log fails: the service ends, and another one takes its place."""
    stage = book.line.stage
    await stage.up.wait()
    failed = len(stage.failed)
    with stage.shim.failing(errno.EIO, Op.SYNC, times=1, match="meterd.db-wal"):
        async with asyncio.timeout(NEVER_S):
            await stage.ended(failed)
    return book.moment()


async def read_only(book: Tortured) -> Moment:
    """The file system becomes read-only, as it may after an error, until a start was refused."""
    await some_time(book)
    stage, rng = book.line.stage, book.rng
    failed = len(stage.failed)
    with stage.shim.failing(errno.EROFS, Op.WRITE, Op.OPEN, Op.TRUNCATE, Op.RENAME):
        if rng.random() < 0.3:
            stage.kill_service()
        else:
            async with asyncio.timeout(NEVER_S):
                await stage.ended(failed)
            failed += 1
        async with asyncio.timeout(NEVER_S):
            await stage.ended(failed)
        await asyncio.sleep(rng.uniform(*LASTS_S))
    return book.moment()


async def slow_disk(book: Tortured) -> Moment:
    """Each sync takes long; for how long the event loop stood meanwhile is noted."""
    return await be_slow(book, book.rng.choice(SLOW_S))


async def be_slow(book: Tortured, seconds: float, lasts_s: float = SLOW_LASTS_S) -> Moment:
    """Each sync takes so long. The loop meets the first one, and the thread all others.

    While the thread waits for one, the loop answers: how long that takes is noted.
    """
    await some_time(book)
    await some_change(book)  # the first one in a WAL has two syncs
    shim = book.line.stage.shim
    stood = book.measures.setdefault(f"loop stood at {seconds * 1000:.0f} ms", [])
    with shim.slow(seconds):
        end = now() + lasts_s
        while (began := now()) < end:
            await book.line.ping()
            stood.append(now() - began)
            await asyncio.sleep(LOOK_S)
        assert shim.slow_on_main <= STALLS_MAX, f"the loop stood {shim.slow_on_main} times"
        with shim.holding_a_sync("meterd.db-wal"):
            async with asyncio.timeout(NEVER_S):
                while not shim.held:  # noqa: ASYNC110 -- the other process has no event
                    await asyncio.sleep(LOOK_S)
            await book.line.ping()
            assert shim.held, "the sync ended before the loop answered"
    return book.moment()


async def half_a_second(book: Tortured) -> Moment:
    """A disk that takes half a second for each sync, for a short time."""
    return await be_slow(book, 0.5, 3.0)
