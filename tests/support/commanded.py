"""The command line over a service of this process, its log on a real disk.

A command that connects reaches a service that starts on a data directory and stops in order after
the command, as a service of its own would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
import structlog.testing

from actors.cli import exporting, prices
from actors.cli.session import errors_as_exit_codes
from messages.client.client import UsageClient
from messages.stored.form import FORM
from messages.units import to_datetime
from persistence.sqlite.journal import SQLiteJournal
from tests.support.meter import micros
from tests.support.rig import Rig

DAY: Final = micros("2026-11-30T12:00:00Z")
"""The price lists that came with the packages are of this day or before."""

_T = TypeVar("_T")


@dataclass
class Reply:
    """What a client reads of a message."""

    data: bytes
    headers: dict[str, str] | None


class Line:
    """A connection of nats-py, as a client needs it, to a service of this process."""

    is_connected = True
    is_closed = False
    max_payload = 1_048_576

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0,  # noqa: ASYNC109 -- the name is nats-py's
    ) -> Reply:
        """Send one request and wait for its reply."""
        answer = await self._rig.answer(self._rig.deliver(subject, payload))
        return Reply(answer.payload, None if answer.headers is None else dict(answer.headers))

    async def close(self) -> None:
        """Nothing is open."""


def client_of(rig: Rig) -> UsageClient:
    """The client library, by the clock of the service."""
    return UsageClient(Line(rig), now=lambda: to_datetime(rig.clock.now()))


def served(
    directory: Path, action: Callable[[Rig], Awaitable[_T]], *, at: int = DAY, **settings: Any
) -> _T:
    """Run something against a service on a directory, and stop the service in order."""

    async def run() -> _T:
        journal = await SQLiteJournal.open(directory, FORM)
        rig = await Rig.start(journal, at=at, **settings)  # type: ignore[arg-type]
        try:
            return await action(rig)
        finally:
            await rig.stop()
            await journal.close()

    with structlog.testing.capture_logs():
        return asyncio.run(run())


@contextmanager
def commanded(directory: Path, *, at: int = DAY) -> Iterator[None]:
    """Have `prices` and `export` reach a service on a directory, and be of its time."""

    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return to_datetime(at)

    def call(
        url: str | None, timeout_s: float, action: Callable[[UsageClient], Awaitable[_T]]
    ) -> _T:
        with errors_as_exit_codes():
            return served(directory, lambda rig: action(client_of(rig)), at=at)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(prices, "datetime", Then)
        for commands in (prices, exporting):
            patched.setattr(commands, "call", call)
        yield
