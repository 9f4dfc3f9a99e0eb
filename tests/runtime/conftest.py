from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog.testing

from persistence.memory import MemoryJournal
from tests.support.rig import Logs, Rig, Start


@pytest.fixture
def lines() -> Iterator[Logs]:
    """The log lines of the service."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts rigs with settings; each is stopped in order at the end."""
    rigs: list[Rig] = []

    async def begin(inner: MemoryJournal | None = None, **settings: Any) -> Rig:
        rigs.append(await Rig.start(inner, **settings))
        return rigs[-1]

    yield begin
    for rig in rigs:
        if rig.over:
            continue
        rig.journal.appends.open()
        rig.journal.reads.open()
        await rig.stop()


@pytest.fixture
async def rig(start: Start) -> Rig:
    """A service with its default settings."""
    return await start()
