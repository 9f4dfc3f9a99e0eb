"""The outbox on a connection that breaks, and beside a row that cannot be published."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actors.publishing.outbox import Relay
from messages.codec import encode_event
from messages.stored.events import (
    CountersReset,
)
from messages.stored.form import FORM
from persistence.memory import MemoryJournal
from tests.support.rig import WAIT_S
from tests.support.rows import make_row

BODY = encode_event(CountersReset(billing_period="2026-03"))


class Line:
    """A publisher whose connection is another one after each of the first flushes."""

    def __init__(self, breaks: int) -> None:
        self.breaks = breaks
        self.number = 0
        self.ids: list[str] = []

    def watch(self, changed: Callable[[], None]) -> None:
        """It tells of nothing."""

    def generation(self) -> int:
        return self.number

    async def prepare(self) -> None:
        """It is always ready."""

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.ids.append((headers or {})["Nats-Msg-Id"])

    async def flush(self) -> None:
        if self.breaks:
            self.breaks -= 1
            self.number += 1


async def run(journal: MemoryJournal, line: Line) -> None:
    box = Relay("usage.v1", journal, line, retry_s=0)
    task = await box.start()
    async with asyncio.timeout(WAIT_S):
        await box.emptied()
    task.cancel()


async def test_a_notice_flushed_on_another_connection_is_published_again() -> None:
    journal, line = MemoryJournal(FORM), Line(breaks=2)
    await journal.append([make_row(1, kind="reset", notify=True, body=BODY)])

    await run(journal, line)

    assert len(line.ids) == 3
    assert len(set(line.ids)) == 1
    assert await journal.published() == 1


async def test_a_row_that_cannot_be_published_does_not_hold_up_the_others() -> None:
    journal, line = MemoryJournal(FORM), Line(breaks=0)
    bad = [
        make_row(1, kind="reset", notify=True, body="{"),
        make_row(2, kind="of a newer version", notify=True),
    ]
    await journal.append([*bad, make_row(3, kind="reset", notify=True, body=BODY)])

    await run(journal, line)

    assert len(line.ids) == 1
    assert await journal.published() == 3
