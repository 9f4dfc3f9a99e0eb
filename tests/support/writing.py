"""A journal writer under observation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from messages.stored.form import FORM
from persistence.memory import MemoryJournal
from persistence.writer import Block, Writer
from tests.support.faults import FaultyJournal
from tests.support.rows import make_row


@dataclass
class Bench:
    """A writer over a journal that can be held and made to fail, and all that it said."""

    inner: MemoryJournal = field(default_factory=lambda: MemoryJournal(FORM))
    block_rows_max: int = 4096
    said: list[str] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    lost_users: list[set[str]] = field(default_factory=list)
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    resumed: asyncio.Event = field(default_factory=asyncio.Event)
    disk_failed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.journal = FaultyJournal(self.inner)
        self.writer = Writer(
            self.journal,
            on_durable=self._on_durable,
            on_failure=self._on_failure,
            on_resumed=self._on_resumed,
            on_disk_failed=self.disk_failed.set,
            on_released=lambda: self.released.append(len(self.said)),
            block_rows_max=self.block_rows_max,
            retry_s=0,
        )

    def _on_durable(self, block: Block) -> None:
        self.said.append(f"block to {block.last}")

    def _on_failure(self, users: set[str]) -> None:
        self.said.append("failure")
        self.lost_users.append(users)
        self.failed.set()

    def _on_resumed(self) -> None:
        self.said.append("resumed")
        self.resumed.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Writer]:
        """The writer with its task; at the end everything is written and the task is over."""
        task = await self.writer.start()
        yield self.writer
        self.journal.appends.open()
        await self.writer.stop()
        await task

    def add(self, count: int = 1, user: str = "alice") -> Told:
        """Append a change of ``count`` rows and wait for it."""
        first = self.writer.next_seq
        rows = [make_row(seq, user) for seq in range(first, first + count)]
        told = Told(self, f"{user} {rows[-1].seq}")
        self.writer.append(rows, told)
        return told

    def read(self, seq: int) -> Told:
        """Wait for a position as a reader does."""
        told = Told(self, f"read {seq}")
        self.writer.after(seq, told)
        return told

    @property
    def blocks(self) -> list[list[int]]:
        """The positions of each block that the journal was asked to store."""
        return [[row.seq for row in rows] for rows, _ in self.journal.attempts]


class Told:
    """A waiter that keeps what it was told; more than once is an error."""

    def __init__(self, bench: Bench, name: str) -> None:
        self._bench = bench
        self._name = name
        self.what: str | None = None
        self.event = asyncio.Event()

    def durable(self) -> None:
        self._tell("durable")

    def lost(self, *, unknown: bool) -> None:
        self._tell("unknown" if unknown else "not stored")

    def _tell(self, what: str) -> None:
        assert self.what is None, f"{self._name}: told {self.what}, then {what}"
        self.what = what
        self._bench.said.append(f"{self._name} {what}")
        self.event.set()


async def held_write(bench: Bench) -> Told:
    """A change whose block is in flight and stays there."""
    bench.journal.appends.close()
    told = bench.add()
    await bench.journal.appends.waiting.wait()
    return told
