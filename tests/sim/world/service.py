"""The service as it lives on over crashes and stops, with all that goes wrong on the way.

Everything is drawn from a seed, and time is that of the loop, so a seed that fails fails again.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from actors.app import DISK_FAILED
from actors.billing.publications import notices_of
from actors.billing.state import snapshot as snapshots
from actors.runtime.backoff import BACKOFF_S
from actors.runtime.cell import Actor, Detour
from actors.runtime.request import Request
from actors.waits import DEFAULT_WAITS
from messages.catalog import CATALOG_USER
from messages.codec import decode_event
from messages.errors import ERRORS
from messages.subjects import PREFIX
from messages.units import MICROS_PER_DAY
from persistence.records import Row, Snapshot
from persistence.writer import Waiter
from tests.sim.world.disk import Disk, Store
from tests.sim.world.invariants import Invariant, Violated, judging
from tests.sim.world.loop import TickingClock
from tests.sim.world.process import Process, Wire
from tests.sim.world.trace import Trace
from tests.support.meter import NOON
from tests.support.rig import Answer, Rig, SetClock

GATES: Final = ("appends", "commits", "reads")
NOT_NOW: Final = frozenset({"internal", *(code for code, row in ERRORS.items() if row.retryable)})
"""Errors of a moment: they say nothing of the state. The defects are injected ones."""
PATIENCE_S: Final = 2.0
"""How long a client waits for an answer."""


WAITS: Final = replace(DEFAULT_WAITS, look=300.0, reclaim=300.0, sweep=300.0)
"""A life takes days, mostly idle ones: with looks every ten seconds they would be most of it."""


@dataclass
class World:
    """The service of the moment, and the journal that outlives it.

    Attributes:
        jumps: how far the clock may be set at once, in microseconds.
        clock: that of the machine.
        latest: the latest that it ever showed.
        moves: how often it was set.
        ahead: for users who are ahead of the clock, what it showed and their own time.
        readings: what the clock may have shown when a change was decided, by user and key.
        begun_at: what was durable when the process began; it has read all of the catalogue.
        wake_at: when clients go on, in the loop's time.
        up: set while there is a service.
        failed: set when it ended.
        opening: what opens gates that are closed now.
        wrong: what was seen that must not be.
        due: what is to be published by what is durable: subject and content by id.
        confirmed: the ids of what was published and has reached the server.
        events: what happened how often; steps: of all processes; requests: that were sent.
    """

    rng: random.Random
    users: tuple[str, ...]
    jumps: tuple[int, ...] = (MICROS_PER_DAY, 20 * MICROS_PER_DAY, -MICROS_PER_DAY)
    journal: Store = field(default_factory=Store)
    rig: Rig | None = None
    process: Process | None = None
    clock: SetClock = field(default_factory=lambda: TickingClock(NOON))
    latest: int = 0
    moves: int = 0
    ahead: dict[str, tuple[int, int]] = field(default_factory=dict)
    readings: defaultdict[tuple[str, str], set[int]] = field(
        default_factory=lambda: defaultdict(set)
    )
    begun_at: int = 0
    wake_at: float = 0.0
    calm: bool = False
    up: asyncio.Event = field(default_factory=asyncio.Event)
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    opening: set[asyncio.Task[None]] = field(default_factory=set)
    wrong: list[Violated] = field(default_factory=list)
    due: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    confirmed: set[str] = field(default_factory=set)
    events: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    requests: int = 0
    trace: Trace = field(default_factory=Trace)

    def __post_init__(self) -> None:
        self.journal.watch = self._stored

    @property
    def running(self) -> Rig:
        """The service, if there is one."""
        assert self.rig is not None
        return self.rig

    @property
    def wire(self) -> Wire:
        """Where its answers leave."""
        assert isinstance(self.running.link, Wire)
        return self.running.link

    @property
    def last_seq(self) -> int:
        """The newest position that is durable."""
        rows = self.journal._rows
        return rows[-1].seq if rows else 0

    def process_of(self) -> Process:
        """The process of the running service."""
        assert self.process is not None
        return self.process

    def violated(self, invariant: Invariant, what: object) -> None:
        """Keep what must not be for the end; here it would only end a task of the service."""
        self.wrong.append(Violated(invariant, what))

    def delay(self, what: str) -> float:
        """How long a read or a write takes."""
        if self.calm:
            return 0.0
        rng = self.rng
        how = rng.random()
        if how < 0.4:
            return 0.0
        return rng.uniform(0, 0.004) if how < 0.97 else rng.uniform(0, 3.0)

    async def begin(self) -> None:
        """Start the service; it may end while it starts, and is started again then."""
        while not await self._started(self.rng.choice([None, None, self.rng.randrange(12)])):
            self.events["crash at start"] += 1

    async def _started(self, fuse: int | None) -> bool:
        rng = self.rng
        process = Process(self)
        rig = Rig(
            self.journal,
            clock=self.clock,
            journal=Disk(self.journal, process),
            link=Wire(process=process),
            waits=WAITS,
            snapshot_events=rng.choice([1, 4, 1000]),
            live_users_max=rng.choice([1, 3, 100]),
            recoveries_max=rng.choice([1, 2, 64]),
            waiting_max=rng.choice([6, 100, 100]),
            waiting_per_user_max=rng.choice([2, 100, 100]),
            idle_s=rng.choice([40.0, 900.0]),
            unknown_providers="register",
        )
        rig.writer._block_rows_max = rng.choice([1, 3, 4096])
        rig.on_ended = self.failed.set
        self._note_times(rig)
        self.trace.note("begin")
        self.failed.clear()
        process.fuse = None if self.calm else fuse
        if not await self._survived(process, rig.service.start()):
            await rig.crash()
            return False
        process.fuse = None
        self.begun_at = self.last_seq
        self.rig, self.process = rig, process
        self.up.set()
        return True

    def _note_times(self, rig: Rig) -> None:
        """Note the time by which the service decides, which no answer tells."""
        times, writer = rig.service._times, rig.writer
        of, append = times.of, writer.append

        def noting_of(user: str, newest_at: int, newest_seq: int, now: int) -> int:
            at = of(user, newest_at, newest_seq, now)
            self.ahead[user] = now, at
            return at

        def noting_append(rows: Sequence[Row], waiter: Waiter | None = None) -> None:
            for row in rows:
                if row.key is not None:
                    self.readings[row.user, row.key].add(times.latest)
            append(rows, waiter)

        times.of = noting_of  # type: ignore[method-assign]
        writer.append = noting_append  # type: ignore[method-assign]

    async def _survived(self, process: Process, work: Coroutine[Any, Any, None]) -> bool:
        """Do something of the service; False if its process ends on the way."""
        task = asyncio.create_task(work)
        dead = asyncio.create_task(self.failed.wait())
        await asyncio.wait({task, dead}, return_when=asyncio.FIRST_COMPLETED)
        dead.cancel()
        if process.over:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return False
        await task
        return True

    async def end(self, *, crash: bool) -> None:
        """End the service, at once or as SIGTERM does."""
        rig, wire = self.running, self.wire
        self.up.clear()
        self.rig = None
        self.events["crash" if crash else "stop"] += 1
        self.trace.note("crash" if crash else "stop")
        for name, loads in (("load", rig.journal.loads), ("failed load", rig.journal.failed_loads)):
            self.events[f"{name} of many"] += sum(len(users) > 1 for users in loads)
        if not crash:
            await self.heal(rig)
            with judging(Invariant.ONE_ANSWER):
                crash = not await self._survived(self.process_of(), rig.stop())
        wire.end()
        if crash:
            await rig.crash()
        assert set(rig.ended) <= {DISK_FAILED}, "a part of the service ended by itself"
        self.judge()

    def judge(self) -> None:
        """Raise what was seen that must not be."""
        if self.wrong:
            raise self.wrong[0]

    def move(self, by: int) -> None:
        """Set the clock."""
        self.see()
        self.clock.step(by)
        self.see()
        self.moves += 1

    def see(self) -> None:
        """Note what the clock shows."""
        self.latest = max(self.latest, self.clock.now())

    async def pause(self, rng: random.Random) -> None:
        """What a client does between two calls."""
        left = self.wake_at - asyncio.get_running_loop().time()
        await asyncio.sleep(max(left, 0.0) + rng.choice([0.0, 0.0, 0.001, 0.02]) * rng.random())

    async def answer(self, send: Callable[[Rig], str]) -> tuple[Answer | None, int]:
        """The answer to a request, and the end of the log when it left.

        None if the client has none: the service ended, or it took too long.
        """
        while self.rig is None:
            await self.up.wait()
        rig, wire = self.rig, self.wire
        self.requests += 1
        to = send(rig)
        if to not in wire.answers:
            waiter = wire.waiting[to] = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await waiter
            except TimeoutError:
                self.events["impatience"] += 1
        if to not in wire.answers:
            return None, 0
        answer = wire.answers[to][0]
        if answer.code in NOT_NOW:
            self.events[answer.code] += 1
        return answer, wire.durable[to]

    async def call(self, verb: str, user: str, body: dict[str, Any]) -> Answer:
        """One call with retries until it is settled."""
        while True:
            answer, _ = await self.answer(lambda rig: rig.send(verb, user, **body))
            if answer is not None and answer.code not in NOT_NOW:
                return answer
            await self.back_off(answer, self.rng)

    async def back_off(self, answer: Answer | None, rng: random.Random) -> None:
        """Wait before the next try."""
        after = answer.error["retry_after"] if answer is not None else None
        await asyncio.sleep((after or 0.0) + 0.2 * rng.random())

    async def heal(self, rig: Rig) -> None:
        """Let nothing fail or wait any more."""
        self.calm = True
        for gate in GATES:
            getattr(rig.journal, gate).open()
        rig.journal._append_faults.clear()
        rig.journal._read_faults.clear()
        rig.journal._end_faults = 0
        for cell in rig.registry._cells.values():
            while isinstance(cell.actor, Broken):  # broken more than once, perhaps
                cell.actor = cell.actor.actor
        rig.link.failing = rig.link.failing_flushes = 0
        await asyncio.sleep(max(BACKOFF_S))
        self.calm = False

    def _stored(self, rows: Sequence[Row], snapshots: Sequence[Snapshot]) -> None:
        """Look at what has become durable."""
        self.trace.note("stored", tuple(rows), tuple(snapshots))
        for row in rows:
            if row.notify and row.user != CATALOG_USER:
                event = decode_event(row.kind, row.body)
                for notice in notices_of(PREFIX, row.user, event, row.at, row.seq):
                    if notice.id in self.due:
                        self.violated(Invariant.ALERTS, (notice.id, "is the id of two"))
                    self.due[notice.id] = (notice.subject, notice.payload)
        for snapshot in snapshots:
            if snapshot.seq > self.last_seq:
                self.violated(Invariant.NO_FUTURE, (snapshot.user, snapshot.seq, self.last_seq))


async def states(rig: Rig, users: tuple[str, ...]) -> dict[str, bytes]:
    """The live state of every user who has one, as bytes."""
    rig.registry._limits = rig.registry._limits._replace(live_max=100)
    for user in users:
        answer = await rig.ask("stats", user)
        assert not answer.code, answer
    return {user: snapshots.encode(rig.live(user).account) for user in users if rig.live(user)}


class Broken:
    """An actor whose next request meets a defect, which leaves its state damaged."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self._struck = False

    @property
    def account(self) -> Any:
        return self.actor.account  # type: ignore[attr-defined]

    def handle(self, request: Request) -> Detour | None:
        if self._struck:
            return self.actor.handle(request)
        self._struck = True
        self.account.suspended = not self.account.suspended
        raise RuntimeError("injected")

    def quiescent(self) -> bool:
        return self.actor.quiescent()

    def weight(self) -> int:
        return self.actor.weight()

    def snapshot(self) -> bool:
        return self.actor.snapshot()
