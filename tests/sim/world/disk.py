"""The disk of a simulated service: it takes time, fails, and ends with its process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from messages.stored.form import FORM
from persistence.memory import MemoryJournal
from persistence.records import Ended, EndedPage, Row, Snapshot
from tests.support.faults import FaultyJournal, Gate


class Life(Protocol):
    """The process that the disk serves."""

    def step(self, what: str) -> bool:
        """One more step from which something outlasts the process; False if it is over."""
        ...

    def delay(self, what: str) -> float:
        """How long this takes, in seconds."""
        ...


class Store(MemoryJournal):
    """What outlives all processes.

    Attributes:
        watch: is told of all that has become durable.
    """

    def __init__(self) -> None:
        super().__init__(FORM)
        self.watch: Callable[[Sequence[Row], Sequence[Snapshot]], None] = lambda *_: None

    async def append(self, rows: Sequence[Row], snapshots: Sequence[Snapshot] = ()) -> None:
        """See `EventLog.append`."""
        await super().append(rows, snapshots)
        self.watch(rows, snapshots)


class _Slow(Gate):
    """A gate that takes time to pass, and that nobody passes after the process ended."""

    def __init__(self, life: Life, what: str) -> None:
        super().__init__()
        self._life = life
        self._what = what

    async def enter(self) -> None:
        await super().enter()
        seconds = self._life.delay(self._what)
        if seconds:
            await asyncio.sleep(seconds)
        await alive(self._life, self._what)


async def alive(life: Life, what: str) -> None:
    """Take a step; who takes one after the end goes no further."""
    if not life.step(what):
        await asyncio.get_running_loop().create_future()


class Disk(FaultyJournal):
    """The journal as one process has it."""

    def __init__(self, inner: MemoryJournal, life: Life) -> None:
        super().__init__(inner)
        self._life = life
        self.appends = _Slow(life, "append")
        self.commits = _Slow(life, "commit")
        self.reads = _Slow(life, "read")

    async def mark_published(self, seq: int) -> None:
        """See `Outbox.mark_published`."""
        await alive(self._life, "mark")
        await super().mark_published(seq)
        await alive(self._life, "marked")

    async def mark_dealt_with(self, until: int) -> None:
        """See `Ends.mark_dealt_with`."""
        await alive(self._life, "dealt with")
        await super().mark_dealt_with(until)

    async def ended(self, after: Ended, until: int, limit: int) -> EndedPage:
        """See `Ends.ended`."""
        await self.reads.enter()
        return await super().ended(after, until, limit)

    async def notices(self, after: int, limit: int) -> list[Row]:
        """See `Outbox.notices`."""
        await self.reads.enter()
        return await super().notices(after, limit)

    async def users(self, after: str, limit: int, prefix: str = "") -> list[str]:
        """See `LogQueries.users`."""
        await self.reads.enter()
        return await super().users(after, limit, prefix)
