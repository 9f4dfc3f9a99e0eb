"""Sends rows with many in flight, and never two of one user at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from actors.cli.importer.errors import ImporterError, ServiceLost
from actors.cli.importer.plan import PlannedCall
from messages.errors import MeterdError, RequestError
from messages.usage import TrackReply

READ_AHEAD: Final = 8


class Sender:
    """Sends each row once the row before it of the same user is answered.

    Args:
        track: sends one row; it retries by itself, so that its failures are final.
        on_settled: told each reply.
        on_refused: told each row that the service refuses for good.
        in_flight: how many rows wait for an answer at the same time. So many times
            `READ_AHEAD` rows are read at most before they are settled.
    """

    def __init__(
        self,
        track: Callable[[PlannedCall], Awaitable[TrackReply]],
        on_settled: Callable[[PlannedCall, TrackReply], None],
        on_refused: Callable[[PlannedCall, RequestError], None],
        in_flight: int,
    ) -> None:
        self._track = track
        self._on_settled = on_settled
        self._on_refused = on_refused
        self._slots = asyncio.Semaphore(in_flight)
        self._ahead = asyncio.Semaphore(in_flight * READ_AHEAD)
        self._waiting: dict[str, deque[PlannedCall]] = {}

    async def run(self, usages: Iterable[PlannedCall]) -> None:
        """Send all rows and wait for their answers.

        Raises:
            ServiceLost: a row got no final answer; the rows behind it of its user were not sent.
            BadInput: the file could not be read to its end.
        """
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for usage in usages:
                    await self._ahead.acquire()
                    self._enqueue(usage, group)
        except* (MeterdError, ImporterError) as failures:
            failure = failures.exceptions[0]
        if isinstance(failure, MeterdError):
            raise ServiceLost(str(failure)) from failure
        if failure is not None:
            raise failure

    def _enqueue(self, usage: PlannedCall, group: asyncio.TaskGroup) -> None:
        rows = self._waiting.get(usage.user)
        if rows is not None:
            rows.append(usage)
            return
        self._waiting[usage.user] = deque([usage])
        group.create_task(self._send_all(usage.user))

    async def _send_all(self, user: str) -> None:
        rows = self._waiting[user]
        while rows:
            async with self._slots:
                await self._send(rows[0])
            rows.popleft()
            self._ahead.release()
        del self._waiting[user]

    async def _send(self, usage: PlannedCall) -> None:
        try:
            reply = await self._track(usage)
        except RequestError as error:
            if error.retryable:  # for longer than the patience
                raise
            self._on_refused(usage, error)
        else:
            self._on_settled(usage, reply)
