"""The book of tests/world, kept by clients of a real service."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from persistence.journal import Row
from tests.support.meter import NOON
from tests.support.rig import Answer, Rig, SetClock
from tests.torture.line import Line, NotServed
from tests.torture.stage import Stage, now
from tests.world.book import Book, Sent
from tests.world.clients import Client
from tests.world.service import NOT_NOW

RETRY_S: Final = 0.01
FOREVER: Final = 10**18


@dataclass
class Moment:
    """The time until the first answer after something that happened."""

    began: float
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    seconds: float = 0.0


@dataclass
class Tortured(Book):
    """A book whose requests go to a real service, which may die at any time.

    Attributes:
        rows: the log, once it was read at the end.
        retry_s: how long those who have to come again wait at the most.
        unavailable: set where a request was refused with this code.
        measures: what was measured meanwhile, in seconds.
    """

    rows: list[Row] = field(default_factory=list)
    retry_s: float = 0.2
    measures: dict[str, list[float]] = field(default_factory=dict)
    unavailable: asyncio.Event = field(default_factory=asyncio.Event)
    _moments: list[Moment] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        stage: Stage,
        rng: random.Random,
        users: tuple[str, ...],
        jumps: tuple[int, ...],
        at: int = NOON,
    ) -> Tortured:
        """A book of what is told to clients of a stage."""
        book = cls(rng, users, jumps)
        stage.shim.set_clock(at)
        book.rig = cast("Rig", Line(stage, SetClock(at)))
        book.at = book.latest = at
        return book

    @property
    def line(self) -> Line:
        """The connection of the clients."""
        return cast("Line", self.rig)

    @property
    def last_seq(self) -> int:
        """The newest position; known at the end."""
        return self.rows[-1].seq if self.rows else 0

    def move(self, by: int) -> None:
        """Move the service's clock."""
        self.moves += 1
        clock = self.line.clock
        clock.at += by
        self.line.stage.shim.set_clock(clock.at)
        self.latest = max(self.latest, clock.at)

    def moment(self) -> Moment:
        """From now on, until a request that is sent from now on has an answer that counts."""
        found = Moment(now())
        self._moments.append(found)
        return found

    async def answer(self, send: Callable[[Rig], str]) -> tuple[Answer | None, int]:
        """The answer to a request, which is sent again while nobody takes it."""
        line = self.line
        while True:
            await line.stage.up.wait()
            began = now()
            to = send(cast("Rig", line))
            try:
                answer = await line.outcome(to)
            except NotServed:
                await asyncio.sleep(RETRY_S)
                continue
            if answer is None:
                self.events["lost"] += 1
                return None, 0
            if answer.code in NOT_NOW:
                self.events[answer.code] += 1
                if answer.code == "unavailable":
                    self.unavailable.set()
                await asyncio.sleep(min(answer.error["retry_after"] or RETRY_S, self.retry_s))
            else:
                self._answered(began)
            # What was durable then is not known here, so an error may be of any later place.
            return answer, FOREVER

    def _answered(self, began: float) -> None:
        for moment in list(self._moments):
            if began >= moment.began:
                moment.seconds = now() - moment.began
                moment.answered.set()
                self._moments.remove(moment)


async def ask(book: Tortured, verb: str, user: str, body: dict[str, Any]) -> Sent:
    """A read that is noted too; it is repeated until it is answered."""
    sent = Sent(user, verb, body)
    book.begin_asking(sent)
    while sent.answer is None or sent.answer.code in NOT_NOW:
        sent.answer = await book.try_once(sent)
    return sent


def clients(book: Tortured, count: int) -> list[Client]:
    """Clients of a book."""
    return [Client(book, number, random.Random(book.rng.random())) for number in range(count)]
