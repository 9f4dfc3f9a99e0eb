"""One life of the service from a seed, and the judgement of it."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn
from unittest.mock import patch

import structlog

from messages.units import MICROS_PER_DAY, MICROS_PER_SECOND
from tests.sim.world.checks import check_alerts, check_closed, check_repeats, check_snapshots
from tests.sim.world.clients import Client
from tests.sim.world.faults import live
from tests.sim.world.history import Book, Sent
from tests.sim.world.invariants import Invariant, judging
from tests.sim.world.loop import in_virtual_time
from tests.sim.world.service import states
from tests.sim.world.verdict import check_told, read_all
from tests.support.rig import Rig

USERS: Final = ("alice", "bob", "carol", "dora", "é@x.org")
CLIENTS: Final = 7
CALLS: Final = 40
SECOND: Final = MICROS_PER_SECOND
JUMPS: Final = (
    *(SECOND, SECOND, 30 * SECOND, 61 * SECOND, 3_600 * SECOND, -SECOND, -3_600 * SECOND),
    *(MICROS_PER_DAY, 9 * MICROS_PER_DAY, 31 * MICROS_PER_DAY),
)
CALM: Final = frozenset({"quiet", "idle", "stop", "impatience", "load of many"})
"""What happens without anything being wrong."""


@dataclass(frozen=True)
class Life:
    """What came of one seed.

    Attributes:
        trace: a digest of all that happened.
        seconds: how long it was, in its own time.
        cpu: how long it took, in seconds of the CPU.
        requests: how many were sent; compared: answers that were held against the model.
        steps: of all processes, before and behind each of which one may have ended.
        events: what happened how often.
        answers: how often each verb was answered with which error, "" for none.
    """

    seed: int
    trace: str = ""
    seconds: float = 0.0
    cpu: float = 0.0
    requests: int = 0
    compared: int = 0
    steps: int = 0
    events: dict[str, int] = field(default_factory=dict)
    answers: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def faults(self) -> int:
        """How often something went wrong."""
        errors = {"internal", "unavailable", "outcome_unknown", "overloaded", "deadline_exceeded"}
        return sum(n for what, n in self.events.items() if what not in CALM | errors)


def simulate(seed: int, *, calls: int = CALLS) -> Life:
    """Live and judge one life.

    Raises:
        Violated: an invariant does not hold.
    """
    begun = time.process_time()
    with drawn(seed):
        life = in_virtual_time(lambda: _live(seed, calls))
    return Life(**{**life, "seed": seed, "cpu": time.process_time() - begun})


async def _live(seed: int, calls: int) -> dict[str, Any]:
    rng = random.Random(seed)
    book = Book(rng, USERS, JUMPS)
    clients = [Client(book, number, random.Random(rng.random())) for number in range(CLIENTS)]
    await live(book, [client.run(calls) for client in clients])
    seconds = asyncio.get_running_loop().time()
    compared = await judge(book)
    return {
        "trace": str(book.trace),
        "seconds": seconds,
        "requests": book.requests,
        "compared": compared,
        "steps": book.steps,
        "events": dict(book.events),
        "answers": dict(book.answers),
    }


async def judge(book: Book) -> int:
    """Check all that must hold at the end; how many answers were compared with the model."""
    book.calm = True
    live = await states(book.running, book.users)

    async def ask(sent: Sent) -> None:
        book.begin_asking(sent)
        sent.answer = await book.try_once(sent)
        book.see()

    listed = await read_all(book, ask)
    with judging(Invariant.REPLAY):
        assert await states(book.running, book.users) == live, "a read changed something"
    await book.end(crash=True)
    book.hear_late()

    rows = await book.journal.rows(0, 10**6)
    check_alerts(book)
    check_closed(book, rows)
    check_snapshots(rows, book.journal._snapshots)
    compared = check_told(book, rows, listed, live)
    for forget in (False, True):
        if forget:
            book.journal._snapshots.clear()
        again = await Rig.start(book.journal, clock=book.clock)
        with judging(Invariant.REPLAY):
            assert await states(again, book.users) == live, "replay is not what was live"
        if forget:
            await check_repeats(book, again)
        await again.stop()
    book.judge()
    return compared


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent


@contextmanager
def drawn(seed: int) -> Iterator[None]:
    """What the service draws at random comes from the seed too, and its log lines go nowhere."""
    rng = random.Random(f"ids of {seed}")
    structlog.configure(processors=[_drop])
    try:
        with patch.object(secrets, "token_hex", lambda size=32: rng.randbytes(size).hex()):
            yield
    finally:
        structlog.reset_defaults()
