"""Publishes alerts and notable events after they are durable, at least once, same id.

The outbox is a stored position, "published up to". Rows with something to publish are handed
over as their blocks become durable; after a start, a failed write or a full queue they are
read from the log instead. A notice is known to be sent when the server answered a flush that
followed it; an alert for the stream, when the stream has acknowledged it.

What a damaged row would have said cannot be published: the log's line names the row, and the
outbox goes on behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

import nats.errors
import structlog

from actors.billing.publications import notices_of
from actors.edge.repeated import Repeated
from messages.codec import decode_event
from messages.stored.errors import UnreadableEvent
from persistence.damage import in_full, tell
from persistence.errors import ArchiveDamaged, Corrupt, JournalError
from persistence.journal import Outbox
from persistence.records import Row

QUEUE_MAX: Final = 10_000
BATCH: Final = 256
TURN: Final = 8
"""Rows that are published in one turn of the loop: what closes a period takes some 0.3 ms."""
RETRY_S: Final = 0.5
MARK_S: Final = 0.5
MARK_ROWS: Final = 100_000
"""The position is stored after this long without a notice, or this many rows: to store it
is a write of its own, and a start publishes again what is behind it, under the same ids."""

_log = structlog.get_logger(__name__)


class Publisher(Protocol):
    """Where notices go."""

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` whenever `prepare` may have something to find out."""

    def generation(self) -> int:
        """Which connection this is; raises `ConnectionError` if there is none."""
        ...

    async def prepare(self) -> None:
        """Get ready for a batch; what was not flushed before is forgotten."""

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> None:
        """Publish one message."""

    async def flush(self) -> None:
        """Wait until the server has everything published before."""


class Relay:
    """Publishes what is in the outbox. See the module's docstring.

    Args:
        prefix: what every subject starts with.
        outbox: holds the rows and the position.
        publisher: where notices go.
        retry_s: seconds until what failed is tried again.
        mark_s: seconds without a notice after which the position is stored.
    """

    def __init__(
        self,
        prefix: str,
        outbox: Outbox,
        publisher: Publisher,
        *,
        retry_s: float = RETRY_S,
        mark_s: float = MARK_S,
    ) -> None:
        self._prefix = prefix
        self._outbox = outbox
        self._publisher = publisher
        self._retry_s = retry_s
        self._mark_s = mark_s
        self._queue: deque[Row] = deque()
        self._reread = True  # the log may hold unpublished rows that the queue lacks
        self._missed = False  # rows became durable while the log was being read
        self._work = asyncio.Event()
        self._empty = asyncio.Event()
        self._published = self._marked = 0
        self._hurried = False
        self._failed = Repeated(_log.warning, "publish_failed")  # for hours, while NATS is away

    async def start(self) -> asyncio.Task[None]:
        """Start publishing what a former process may have left; the caller owns the task."""
        self._published = self._marked = await self._outbox.published()
        self._publisher.watch(self._wake)
        with suppress(nats.errors.Error, OSError):  # tried again before each batch
            await self._publisher.prepare()
        self.reread()
        return asyncio.create_task(self._run(), name="outbox")

    def take(self, rows: list[Row]) -> None:
        """Publish the notices of rows that have just become durable; each has some."""
        if self._reread:
            self._missed = True
        elif len(self._queue) + len(rows) > QUEUE_MAX:
            self._queue.clear()
            self._reread = self._missed = True
        else:
            self._queue.extend(rows)
        self._wake()

    def reread(self) -> None:
        """Publish from the log: some durable rows may never have been handed over."""
        self._queue.clear()
        self._reread = self._missed = True
        self._wake()

    async def emptied(self) -> None:
        """Wait until everything that was handed over is published, and the position stored."""
        self._hurried = True
        self._work.set()
        await self._empty.wait()

    def _wake(self) -> None:
        self._empty.clear()
        self._work.set()

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            try:
                generation = self._publisher.generation()
                await self._publisher.prepare()
                rows = await self._next()
                if not rows:
                    continue
                for count, row in enumerate(rows, 1):
                    await self._publish(row)
                    if count % TURN == 0:
                        await asyncio.sleep(0)  # to publish does not wait by itself
                await self._publisher.flush()
                if self._publisher.generation() != generation:
                    # What was on its way may be lost, and the flush answered for the new one.
                    raise ConnectionError("reconnected to NATS meanwhile")
                self._published = rows[-1].seq
                if self._published - self._marked >= MARK_ROWS:
                    await self._mark()
            except (JournalError, nats.errors.Error, OSError, TimeoutError) as error:
                # Nothing is lost: the position stands, and what follows it is in the log.
                why = in_full(error) if isinstance(error, JournalError) else str(error)
                self._failed.note(error=why or type(error).__name__)
                self.reread()
                await asyncio.sleep(self._retry_s)

    async def _rested(self) -> bool:
        """Whether there was nothing to publish for a while: the time to store the position."""
        if not self._hurried:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._mark_s):
                    await self._work.wait()
                    return self._hurried
        return True

    async def _mark(self) -> None:
        marked = self._published
        await self._outbox.mark_published(marked)
        self._marked = marked

    async def _next(self) -> list[Row]:
        """The next rows to publish; empty if there are none, or the log has to be read again."""
        if self._reread:
            self._missed = False
            rows = await self._read()
            if not rows and not self._missed:
                self._reread = False
            return rows
        if not self._queue:
            self._work.clear()
            if self._published != self._marked and await self._rested():
                await self._mark()
            if self._published == self._marked and not self._work.is_set():
                self._empty.set()
            return []
        return [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]

    async def _read(self) -> list[Row]:
        """The next rows of the log, up to one that is damaged, or behind those that are.

        Raises:
            JournalError: they cannot be read, and it is not known where to go on.
        """
        count = BATCH
        while True:
            try:
                return await self._outbox.notices(self._published, count)
            except (Corrupt, ArchiveDamaged) as error:
                if count > 1:
                    count //= 2  # what is before it is published first
                    continue
                # It is the next one. Others that it names may be readable, so each has its turn.
                damaged = tell(error)
                if damaged.last is None or damaged.last <= self._published:
                    raise
                self._published = max(damaged.first or 0, self._published + 1)

    async def _publish(self, row: Row) -> None:
        try:
            event = decode_event(row.kind, row.body, row.seq)
            notices = notices_of(self._prefix, row.user, event, row.at, row.seq)
            for notice in notices:
                headers = {"Nats-Msg-Id": notice.id}
                await self._publisher.publish(notice.subject, notice.payload, headers)
        # One row that cannot be published must not hold up all others for ever.
        except UnreadableEvent as error:
            tell(error, row.user)
        except nats.errors.MaxPayloadError as error:
            _log.error("notice_impossible", seq=row.seq, kind=row.kind, error=repr(error))
