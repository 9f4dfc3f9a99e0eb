"""The service as it lives on over crashes and stops, with all that goes wrong on the way.

Everything is drawn from a seed, and nothing waits for real time or threads, so a seed that
fails fails again.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from actors.billing import snapshot as snapshots
from messages.units import MICROS_PER_DAY
from persistence.memory import MemoryJournal
from tests.support.faults import Fault
from tests.support.rig import Answer, Published, Rig

TURNS_MAX: Final = 200_000
GATES: Final = ("appends", "commits", "reads")

_FAULTS: Final = (Fault.NOT_STORED, Fault.UNKNOWN_AND_LOST, Fault.UNKNOWN_BUT_STORED)
_DISK_FAULTS: Final = (Fault.DISK_FAILED_AND_LOST, Fault.DISK_FAILED_BUT_STORED)
_TROUBLE: Final = {
    "fault": 20,
    "disk": 1,
    "read": 12,
    "end": 4,
    "hold": 20,
    "idle": 8,
    "clock": 4,
    "publish": 8,
    "crash": 4,
    "torn": 2,
    "stop": 3,
}


@dataclass
class World:
    """The service of the moment, and the journal that outlives it.

    Attributes:
        jumps: how far the clock may move at once, in microseconds.
        latest: the latest that the clock ever showed.
        moves: how often the clock moved.
        published: what former services published.
        events: what happened how often.
    """

    rng: random.Random
    users: tuple[str, ...]
    jumps: tuple[int, ...] = (MICROS_PER_DAY, 20 * MICROS_PER_DAY, -MICROS_PER_DAY)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    rig: Rig | None = None
    at: int = 0
    latest: int = 0
    moves: int = 0
    published: list[Published] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)

    @property
    def running(self) -> Rig:
        """The service, where there is one."""
        assert self.rig is not None
        return self.rig

    @property
    def last_seq(self) -> int:
        """The newest position that is durable."""
        rows = self.journal._rows
        return rows[-1].seq if rows else 0

    async def begin(self) -> None:
        rng = self.rng
        rig = Rig(
            self.journal,
            snapshot_events=rng.choice([1, 4, 1000]),
            live_users_max=rng.choice([1, 3, 100]),
            recoveries_max=rng.choice([1, 2, 64]),
            waiting_per_user_max=rng.choice([2, 100]),
        )
        if self.at:
            rig.clock.at = self.at
        self.latest = max(self.latest, rig.clock.at)
        send = rig.link.send

        def checked(reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
            seq = json.loads(payload).get("seq", 0)
            assert seq <= self.last_seq, "a reply shows what is not durable"
            send(reply_to, payload, headers)

        rig.link.send = checked  # type: ignore[method-assign]
        await rig.service.start()
        self.rig = rig

    async def end(self, *, crash: bool) -> None:
        rig = self.running
        self.rig = None
        self.at = rig.clock.at
        self.events["crash" if crash else "stop"] += 1
        if crash:
            await rig.crash()
        else:
            heal(rig)
            await rig.stop()
        assert max(map(len, rig.link.answers.values()), default=1) == 1
        self.published += rig.link.published

    def move(self, by: int) -> None:
        """Move the clock."""
        clock = self.running.clock
        clock.at += by
        self.latest = max(self.latest, clock.at)
        self.moves += 1

    async def answer(self, send: Callable[[Rig], str]) -> Answer | None:
        """The answer to a request, None where the service ended without one."""
        while (rig := self.rig) is None:  # noqa: ASYNC110 -- turns are all the time there is
            await asyncio.sleep(0)
        to = send(rig)
        while self.rig is rig and to not in rig.link.answers:  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0)
        if to not in rig.link.answers:
            return None
        (answer,) = rig.link.answers[to]
        if answer.error and answer.error["retryable"]:
            self.events[answer.code] += 1
            rig.seconds += answer.error["retry_after"] or 0
        return answer

    async def call(self, verb: str, user: str, body: dict[str, Any]) -> Answer:
        """One call with retries until it is settled."""
        while True:
            answer = await self.answer(lambda rig: rig.send(verb, user, **body))
            if answer is not None and not (answer.error and answer.error["retryable"]):
                return answer
            await asyncio.sleep(0)

    async def live(self, clients: list[Coroutine[Any, Any, None]]) -> None:
        """Let the clients make their calls while things go wrong; all is well at the end."""
        tasks = [asyncio.create_task(client) for client in clients]
        await self.begin()
        for turn in itertools.count():
            await asyncio.sleep(0)
            if all(task.done() for task in tasks):
                break
            assert turn < TURNS_MAX, "the clients do not come to an end"
            if self.running.ended:
                await self.end(crash=True)
                await self.begin()
            elif self.rng.random() < 0.3:
                await disturb(self)
        for task in tasks:
            task.result()
        rig = self.running
        heal(rig)
        await rig.idle()
        assert {to: len(rig.link.answers.get(to, ())) for to in rig.sent} == dict.fromkeys(
            rig.sent, 1
        )


def heal(rig: Rig) -> None:
    """Let nothing fail or wait any more."""
    for gate in GATES:
        getattr(rig.journal, gate).open()
    rig.journal._append_faults.clear()
    rig.journal._read_faults.clear()
    rig.journal._end_faults = 0
    rig.link.failing = rig.link.failing_flushes = 0


async def states(rig: Rig, users: tuple[str, ...]) -> dict[str, bytes]:
    """The live state of every user who has one, as bytes."""
    rig.registry._limits = rig.registry._limits._replace(live_max=100)
    for user in users:
        assert (await rig.ask("stats", user)).code == ""
    return {user: snapshots.encode(rig.live(user).account) for user in users if rig.live(user)}


async def disturb(world: World) -> None:
    """One thing that happens to the service."""
    rig, rng = world.running, world.rng
    what = rng.choices(list(_TROUBLE), list(_TROUBLE.values()))[0]
    world.events[what] += 1
    if what == "fault":
        rig.journal.fail_appends(rng.choice(_FAULTS))
    elif what == "disk":
        rig.journal.fail_appends(rng.choice(_DISK_FAULTS))
    elif what == "read":
        rig.journal.fail_reads(rng.randint(1, 3), rng.choice([*world.users, None]))
    elif what == "end":
        rig.journal.fail_last_seq(rng.randint(1, 3))
    elif what == "hold":
        gate = getattr(rig.journal, rng.choice(GATES))
        gate.close()
        await turns(rng.randrange(40))
        gate.open()
    elif what == "idle":
        rig.seconds += 10_000
        rig.registry.passivate()
    elif what == "clock":
        world.move(rng.choice(world.jumps))
    elif what == "publish":
        rig.link.failing += rng.randrange(3)
        rig.link.failing_flushes += rng.randrange(3)
    else:
        if what == "torn":  # durable or not, but nobody was told
            getattr(rig.journal, rng.choice(GATES)).close()
            await turns(rng.randrange(20))
        await world.end(crash=what != "stop")
        await world.begin()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
