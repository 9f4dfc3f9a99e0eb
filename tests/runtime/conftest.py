from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from persistence.memory import MemoryJournal
from tests.support.data import make
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


@pytest.fixture(scope="session")
def whole_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data directory in which most things occur, not to be changed."""
    directory = tmp_path_factory.mktemp("whole") / "data"
    asyncio.run(make(directory))
    return directory


@pytest.fixture
def data(whole_data: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole_data, tmp_path / "data"))
