"""Group commit: one task, one transaction per block, over all actors.

While a block is being written the next one fills, so under load blocks grow by themselves
and alone a change pays one fsync. Positions are given when a change is appended, in memory;
what reflects a position is released when that position is durable.

A block that fails takes all behind it along: their positions were built on it. The writer
tells the owner (`on_failure`), asks where the log ends, and goes on from there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Final, Protocol

import structlog

from persistence.damage import in_full
from persistence.errors import DiskFailed, FilesGone, JournalError, NotStored, Unavailable
from persistence.journal import EventLog
from persistence.records import Row, Snapshot

BLOCK_ROWS_MAX: Final = 512
RETRY_S: Final = 0.25

_log = structlog.get_logger(__name__)


class Waiter(Protocol):
    """Something that waits for a position: told exactly once how it went."""

    def durable(self) -> None:
        """Everything up to the position is durable."""

    def lost(self, *, unknown: bool) -> None:
        """The position will not become durable by this write.

        ``unknown`` is true in the failed block itself if its outcome is not known, and
        false if the change is known not to be stored.
        """


class Block:
    """Rows of many actors that become durable together, and who waits for them."""

    __slots__ = ("first", "rows", "snapshots", "waiters")

    def __init__(self, first: int) -> None:
        self.first = first
        self.rows: list[Row] = []
        self.snapshots: list[Snapshot] = []
        self.waiters: list[Waiter] = []

    @property
    def last(self) -> int:
        """The position of the newest row, one before `first` if there is none."""
        return self.first + len(self.rows) - 1


class _Flush:
    """A waiter that tells tasks how it went: any number of them, which may be gone by then."""

    def __init__(self) -> None:
        self._stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def durable(self) -> None:
        if not self._stored.done():
            self._stored.set_result(True)

    def lost(self, *, unknown: bool) -> None:  # noqa: ARG002 -- lost is lost
        if not self._stored.done():
            self._stored.set_result(False)

    def __await__(self) -> Generator[Any, None, None]:
        stored = yield from self._stored.__await__()
        if not stored:
            raise NotStored("behind a failed write")


class Writer:
    """The one writer of a log.

    Args:
        log: where blocks go.
        on_durable: called with each durable block, before its waiters are released.
        on_failure: called with the users whose rows were lost, before their waiters hear of
            it; their state in memory is ahead of the log. Until `on_resumed` is called
            `accepting` is false and nothing may be appended.
        on_resumed: called when the end of the log is known again. It may be ahead of the last
            `on_durable`: a write of unknown outcome may be stored.
        on_disk_failed: called when the disk is not to be trusted any more, or the log is gone.
        on_released: called when the waiters of a block have been told.
        block_rows_max: a block with this many rows takes no more.
        retry_s: seconds until the end of the log is asked for again, if it cannot be read.
    """

    def __init__(
        self,
        log: EventLog,
        *,
        on_durable: Callable[[Block], None],
        on_failure: Callable[[set[str]], None],
        on_resumed: Callable[[], None],
        on_disk_failed: Callable[[], None],
        on_released: Callable[[], None] = lambda: None,
        block_rows_max: int = BLOCK_ROWS_MAX,
        retry_s: float = RETRY_S,
    ) -> None:
        self._log = log
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._on_resumed = on_resumed
        self._on_disk_failed = on_disk_failed
        self._on_released = on_released
        self._block_rows_max = block_rows_max
        self._retry_s = retry_s
        self._blocks: deque[Block] = deque()  # the first may be in flight, the last is open
        self._open: Block | None = None  # takes rows, if there is one
        self._work = asyncio.Event()
        self._resumed = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._writing = False
        self._stopping = False
        self._over = False
        self.accepting = False
        self.durable = 0
        self.next_seq = 1

    async def start(self) -> asyncio.Task[None]:
        """Find the end of the log and start the writing task; the caller owns the task."""
        self._resume_after(await self._log.last_seq())
        return asyncio.create_task(self._run(), name="journal-writer")

    async def stop(self) -> None:
        """Write what is left and end the task."""
        await self._emptied.wait()
        self._stopping = True
        self._work.set()

    async def ready(self) -> None:
        """Wait until the end of the log is known and `append` may be called.

        Raises:
            Unavailable: the disk failed, so that never happens.
        """
        await self._resumed.wait()
        if self._over:
            raise Unavailable("the disk failed")

    def abandon(self) -> None:
        """Tell all who still wait that it is over; the task has ended before its work."""
        blocks = list(self._blocks)
        self._blocks.clear()
        self._open = None
        self.accepting = False
        for position, block in enumerate(blocks):
            for waiter in block.waiters:
                waiter.lost(unknown=self._writing and position == 0)

    def flushed(self) -> Awaitable[None]:
        """Wait until everything that was appended before this call is durable.

        The call fixes the moment. What it returns may be awaited later, by several tasks, or
        never.

        Raises:
            NotStored: when awaited, if some of it was lost: what the caller knows is ahead of
                the log.
        """
        flush = _Flush()
        if self._blocks:
            self._blocks[-1].waiters.append(flush)
        elif self.accepting:
            flush.durable()
        else:
            flush.lost(unknown=False)
        return flush

    def append(self, rows: Sequence[Row], waiter: Waiter | None = None) -> None:
        """Put the rows of one change, whose first position is `next_seq`, into a block."""
        block = self._open or self._opened()
        block.rows += rows
        if waiter is not None:
            block.waiters.append(waiter)
        self.next_seq += len(rows)
        if len(block.rows) >= self._block_rows_max:
            self._open = None

    def after(self, seq: int, waiter: Waiter) -> None:
        """Release ``waiter`` when ``seq`` is durable; at once if it already is."""
        if seq <= self.durable:
            waiter.durable()
            return
        for block in self._blocks:
            if seq <= block.last:
                block.waiters.append(waiter)
                return
        raise AssertionError(f"position {seq} was never given")

    def offer(self, snapshot: Snapshot) -> None:
        """Write a snapshot with, or after, the block that holds its newest event.

        It is in one transaction with that event or in a later one, so it never reflects an
        event that is not durable. While the end of the log is unknown it is dropped: no block
        can be opened before positions are known again.
        """
        if not self.accepting:
            return
        for block in self._blocks:
            if snapshot.seq <= block.last and not (self._writing and block is self._blocks[0]):
                block.snapshots.append(snapshot)
                return
        (self._open or self._opened()).snapshots.append(snapshot)

    def _opened(self) -> Block:
        """A new block behind all others: the last one is full, being written, or gone."""
        block = self._open = Block(self.next_seq)
        self._blocks.append(block)
        self._emptied.clear()
        self._work.set()
        return block

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            if not self._blocks:
                if self._stopping:
                    return
                self._work.clear()
                continue
            block = self._blocks[0]
            if block is self._open:
                self._open = None
            self._writing = True
            try:
                await self._log.append(block.rows, block.snapshots)
            except JournalError as error:
                await self._fail(error)
            else:
                self._blocks.popleft()
                self._writing = False
                if block.rows:
                    self.durable = block.last
                self._on_durable(block)
                for waiter in block.waiters:
                    waiter.durable()
            self._on_released()
            if self._blocks:
                await asyncio.sleep(0)  # a write on the loop itself gives nobody else a turn
            else:
                self._emptied.set()

    async def _fail(self, error: JournalError) -> None:
        """Drop the failed block and all behind it, then find the end of the log again."""
        known = isinstance(error, NotStored)
        blocks = list(self._blocks)
        self._blocks.clear()
        self._open = None
        self._writing = False
        self.accepting = False
        self._resumed.clear()
        self._emptied.set()
        _log.error("journal_write_failed", error=str(error), stored="no" if known else "unknown")
        self._on_failure({row.user for block in blocks for row in block.rows})
        for position, block in enumerate(blocks):
            for waiter in block.waiters:
                waiter.lost(unknown=not known and position == 0)
        if isinstance(error, (DiskFailed, FilesGone)):
            self._over = True
            self._resumed.set()
            self._on_disk_failed()
            return
        self._resume_after(await self._end_of_log())
        self._on_resumed()

    async def _end_of_log(self) -> int:
        said = ""
        while True:
            try:
                return await self._log.last_seq()
            except JournalError as error:
                if in_full(error) != said:  # a page that is damaged stays so
                    said = in_full(error)
                    _log.error("journal_unreadable", error=said)
                await asyncio.sleep(self._retry_s)

    def _resume_after(self, last: int) -> None:
        self.durable = last
        self.next_seq = last + 1
        self.accepting = True
        self._resumed.set()
