"""``meterd archive``: what is old moves from the log into files, one step at a time.

Before the calls of a step lose their bodies, every user who has one of them has a snapshot that
reflects it. So nobody's state needs a file, wherever that is put.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, time
from typing import Final

import structlog
from msgspec import Struct

from actors.billing.state import snapshot as snapshots
from actors.persistent.context import ActorContext
from actors.user.recovery import TOGETHER, load_together
from messages.errors import InvalidRequest
from messages.subjects import encode_user, partition_of
from messages.units import MICROS_PER_DAY, to_day, to_micros
from persistence.errors import BeingMade, Corrupt, JournalError, NotStored, Unavailable
from persistence.records import Snapshot

STEP_ROWS: Final = 50_000
KEPT_DAYS: Final = 62
"""What is younger stays: calls of this billing period and the one before it are looked at, and
answered again, without a file."""

_log = structlog.get_logger(__name__)


class Archived(Struct, frozen=True):
    """What a step did.

    Attributes:
        rows: whose bodies it moved.
        last: no row up to this position is left to move.
        done: nothing is left to move at all.
    """

    rows: int
    last: int
    done: bool


class Archiving:
    """Takes steps, one at a time: a request for the step under way gets its answer.

    So a request that is repeated because its answer takes long begins no other step.

    Args:
        context: what actors share.
    """

    def __init__(self, context: ActorContext) -> None:
        self._context = context
        self._before = 0
        self._step: asyncio.Task[Archived] | None = None
        self._closed = False

    async def step(self, day: str) -> Archived:
        """Take the next step of what took effect before a day.

        Raises:
            InvalidRequest: it is no day, or too young.
            JournalError: it cannot be read or written; what is done is done.
        """
        before = moment_of(day, self._context.times.now())
        while self._step is not None and not self._step.done() and self._before != before:
            await asyncio.wait([self._step])
        if self._closed:
            raise NotStored("the service is stopping")
        if self._step is None or self._step.done():
            self._before = before
            self._step = asyncio.create_task(self._take(before), name="archive")
        step = self._step
        await asyncio.wait([step])
        if step.cancelled():
            raise NotStored("the service is stopping")
        return step.result()

    async def close(self) -> None:
        """End the step that is under way; the next one goes on where it was."""
        self._closed = True
        if self._step is not None:
            self._step.cancel()
            await asyncio.wait([self._step])

    async def _take(self, before: int) -> Archived:
        retention, uncovered = self._context.retention, set[str]()
        while due := await retention.archivable(before, STEP_ROWS, snapshots.SCHEMA):
            if not due.uncovered:
                rows = await retention.archive(due.last)
                _log.info("archived", rows=rows, last=due.last)
                return Archived(rows, due.last, done=False)
            if lacking := uncovered.intersection(due.uncovered):
                raise Unavailable(f"the state of user {min(lacking)!r} cannot be stored")
            uncovered.update(due.uncovered)
            for start in range(0, len(due.uncovered), TOGETHER):
                await self._cover(due.uncovered[start : start + TOGETHER])
        return Archived(0, 0, done=True)

    async def _cover(self, users: Sequence[str]) -> None:
        """Store snapshots of users as of the end of their log."""
        for user, account in (await load_together(users, self._context)).items():
            if isinstance(account, Corrupt | BeingMade):
                raise account
            if isinstance(account, JournalError):
                raise Unavailable(f"the state of user {user!r} cannot be read")
            self._context.writer.offer(
                Snapshot(
                    partition_of(encode_user(user)),
                    user,
                    account.seq,
                    snapshots.SCHEMA,
                    snapshots.encode(account),
                )
            )
        await self._context.writer.flushed()


def moment_of(day: str, now: int) -> int:
    """The beginning of a day in UTC that is old enough, in microseconds.

    Raises:
        InvalidRequest: it is no day, or too young.
    """
    try:
        moment = to_micros(datetime.combine(to_day(day), time(), UTC))
    except ValueError:
        raise InvalidRequest(f"{day} is no day: write 2026-01-31", "before") from None
    if moment > now - KEPT_DAYS * MICROS_PER_DAY:
        why = f"{day} is too young: what is younger than {KEPT_DAYS} days stays in the log"
        raise InvalidRequest(why, "before")
    return moment
