"""A round: clients make their calls while one kind of fault comes again and again."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from messages.units import MICROS_PER_DAY, MICROS_PER_SECOND
from tests.sim.world.clients import Client
from tests.torture.book import Moment, Tortured, clients
from tests.torture.judging import judge
from tests.torture.shim import Shim
from tests.torture.stage import NEVER_S, Stage

USERS: Final = (*(f"u{n}" for n in range(7)), "é@x.org")
CLIENTS: Final = 10
CALLS: Final = 25
HOUR: Final = 3_600 * MICROS_PER_SECOND
JUMPS: Final = (
    *(MICROS_PER_SECOND, 61 * MICROS_PER_SECOND, HOUR, 5 * HOUR, MICROS_PER_DAY),
    *(-MICROS_PER_SECOND, -HOUR, -5 * HOUR, -MICROS_PER_DAY, 31 * MICROS_PER_DAY),
)

Fault = Callable[[Tortured], Awaitable[Moment]]
"""Strikes once; the moment from which on there should be answers again."""
Disk = Callable[[Path], AbstractContextManager[None]]


def any_disk(_: Path) -> AbstractContextManager[None]:
    """The disk of the directory."""
    return nullcontext()


@dataclass
class Result:
    """What came of one or more rounds of one fault.

    Attributes:
        verdict: what was lost, or why that is not known.
        times: how often it struck.
        first_s: after each the time until the first answer.
        requests: how many were sent; compared: how many answers with the model.
        rows: of the logs; killed: deaths of the service by SIGKILL; failed: ends by itself.
    """

    name: str
    times: int = 0
    first_s: list[float] = field(default_factory=list)
    requests: int = 0
    compared: int = 0
    rows: int = 0
    killed: int = 0
    failed: list[str] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    measures: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    verdict: str = "0"

    def add(self, other: Result) -> None:
        """Take in another round."""
        self.times += other.times
        self.first_s += other.first_s
        self.requests += other.requests
        self.compared += other.compared
        self.rows += other.rows
        self.killed += other.killed
        self.failed += other.failed
        for name, value in other.notes.items():
            self.notes[name] = self.notes.get(name, 0) + value
        for name, values in other.measures.items():
            self.measures.setdefault(name, []).extend(values)


async def run_round(
    name: str,
    fault: Fault,
    directory: Path,
    seed: int,
    *,
    times: int,
    disk: Disk = any_disk,
    power: bool = False,
    stream: bool = False,
) -> Result:
    """Have a fault strike so many times while clients make calls, and judge.

    The clients make calls for as long as the fault is to come. With ``power`` the shim keeps
    what is not synced, with ``stream`` the server keeps alerts.
    """
    with disk(fresh(directory)):
        shim = Shim(directory, power=power)
        rng = random.Random(f"{name}.{seed}")
        live = rng.choice(["2", "5", "1000"])
        settings = {
            "snapshot_events": "20",
            "live_users_max": live,
            "log_level": "error",
            "unknown_providers": "register",  # as in the simulation, whose model it is
        }
        stage = Stage(directory, shim, stream=stream, **settings)
        result = Result(name, times=times)
        await _torture(Tortured.of(stage, rng, USERS, JUMPS), fault, result)
        return result


async def _torture(book: Tortured, fault: Fault, result: Result) -> None:
    stage = book.line.stage
    striking = asyncio.Event()

    async def keep_calling(client: Client) -> None:
        while not striking.is_set():
            await client.run(CALLS)

    async def strike() -> None:
        for _ in range(result.times):
            moment = await fault(book)
            async with asyncio.timeout(NEVER_S):
                await moment.answered.wait()
            result.first_s.append(moment.seconds)
        striking.set()

    try:
        async with asyncio.TaskGroup() as parts:
            parts.create_task(stage.run())
            await stage.up.wait()
            await book.line.open()
            async with asyncio.TaskGroup() as acts:
                for client in clients(book, CLIENTS):
                    acts.create_task(keep_calling(client))
                acts.create_task(strike())
            result.compared = await judge(book)
    finally:
        await book.line.close()
        stage.close()
    result.requests = len(book.line.sent)
    result.rows = len(book.rows)
    result.killed, result.failed = stage.killed, stage.failed
    result.notes = dict(book.events) | {"failed calls": stage.shim.failed}
    result.measures = book.measures


def fresh(directory: Path) -> Path:
    """An empty directory."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory
