"""The book of tests/sim/world, kept by clients of a real service."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from persistence.records import Row
from tests.sim.world.clients import Client
from tests.sim.world.history import Book, Sent
from tests.sim.world.service import NOT_NOW
from tests.support.meter import NOON
from tests.support.rig import Answer, Rig, SetClock
from tests.torture.line import Line, NotServed
from tests.torture.stage import Stage, now

RETRY_S: Final = 0.02
FOREVER: Final = 10**18


@dataclass
class Moment:
    """The time until the first answer after something that happened.

    Attributes:
        changes: whether the answer has to be that of a change, made for the first time.
    """

    began: float
    changes: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    seconds: float = 0.0


@dataclass
class Tortured(Book):
    """A book whose requests go to a real service, which may die at any time.

    Attributes:
        rows: the log, once it was read at the end.
        retry_s: how long those who have to come again wait at the most.
        unavailable: set if a request was refused with this code.
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
        clock = SetClock(at)
        stage.shim.set_clock(at)
        # What goes wrong goes wrong outside of the book.
        book = cls(rng, users, jumps, clock=clock, latest=at, calm=True)
        book.rig = cast("Rig", Line(stage, clock))
        return book

    @property
    def line(self) -> Line:
        """The connection of the clients."""
        return cast("Line", self.rig)

    @property
    def answered(self) -> dict[str, list[Answer]]:
        """All answers: one process after the other makes one log, in one order."""
        return self.line.answers

    @property
    def last_seq(self) -> int:
        """The newest position that is known: the last one, once the log was read."""
        return self.rows[-1].seq if self.rows else max(self.seen.values(), default=0)

    def about_to_send(self, sent: Sent) -> None:
        """As of any book; the clock stands between its steps, of which some may come before."""
        super().about_to_send(sent)
        for key, _, _ in sent.changes():
            self.readings[sent.user, key].add(self.clock.now())

    def move(self, by: int) -> None:
        """Move the service's clock."""
        super().move(by)
        for shown in self.readings.values():
            shown.add(self.clock.now())
        self.line.stage.shim.set_clock(self.clock.at)

    def moment(self, *, changes: bool = False) -> Moment:
        """From now on, until a request that is sent from now on has an answer that counts.

        With ``changes``, until one has changed something: the log has a row more then.
        """
        found = Moment(now(), changes)
        self._moments.append(found)
        return found

    async def answer(self, send: Callable[[Rig], str]) -> tuple[Answer | None, int]:
        """The answer to a request, which is sent again while nobody takes it."""
        line = self.line
        while True:
            await line.served()
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
            else:
                self._came(began, changes=answer.body.get("duplicate") is False)
            # What was durable then is not known here, so an error may be of any later place.
            return answer, FOREVER

    async def back_off(self, answer: Answer | None, rng: random.Random) -> None:
        """Wait before the next try."""
        after = answer.error["retry_after"] if answer is not None else None
        await asyncio.sleep(min(after or RETRY_S, self.retry_s))

    def _came(self, began: float, *, changes: bool) -> None:
        for moment in list(self._moments):
            if began >= moment.began and (changes or not moment.changes):
                moment.seconds = now() - moment.began
                moment.answered.set()
                self._moments.remove(moment)


async def ask(book: Tortured, sent: Sent) -> None:
    """A read that is noted too; it is repeated until it is answered."""
    book.begin_asking(sent)
    while True:
        sent.answer = await book.try_once(sent)
        if sent.answer is not None and sent.answer.code not in NOT_NOW:
            return
        await book.back_off(sent.answer, book.rng)


def clients(book: Tortured, count: int) -> list[Client]:
    """Clients of a book."""
    return [Client(book, number, random.Random(book.rng.random())) for number in range(count)]
