"""The service as it lives on over crashes and stops, with all that goes wrong on the way.

Everything is drawn from a seed, and nothing waits for real time or threads, so a seed that
fails fails again.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from actors.app import DISK_FAILED
from actors.billing import snapshot as snapshots
from actors.runtime.backoff import BACKOFF_S
from actors.runtime.cell import Actor, Detour
from actors.runtime.request import Request
from messages.errors import ERRORS
from messages.units import MICROS_PER_DAY
from persistence.memory import MemoryJournal
from tests.support.rig import Answer, Published, Rig

GATES: Final = ("appends", "commits", "reads")
NOT_NOW: Final = frozenset({"internal", *(code for code, row in ERRORS.items() if row.retryable)})
"""Errors of a moment: they say nothing of the state. The defects are injected ones."""


@dataclass
class World:
    """The service of the moment, and the journal that outlives it.

    Attributes:
        jumps: how far the clock may move at once, in microseconds.
        latest: the latest that the clock ever showed.
        moves: how often the clock moved.
        durable: the end of the log when each answer of the running service left.
        opening: what opens gates that are closed now.
        early: answers that left before what they show was durable.
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
    durable: dict[str, int] = field(default_factory=dict)
    opening: set[asyncio.Task[None]] = field(default_factory=set)
    early: list[bytes] = field(default_factory=list)
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
            waiting_per_user_max=rng.choice([2, 100, 100]),
        )
        rig.writer._block_rows_max = rng.choice([1, 3, 4096])
        if self.at:
            rig.clock.at = self.at
        self.latest = max(self.latest, rig.clock.at)
        send = rig.link.send
        durable: dict[str, int] = {}

        def checked(reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
            seq = json.loads(payload).get("seq", 0)
            if seq > self.last_seq:  # to raise here would only end the task that sends
                self.early.append(payload)
            durable[reply_to.decode()] = self.last_seq
            send(reply_to, payload, headers)

        rig.link.send = checked  # type: ignore[method-assign]
        await rig.service.start()
        self.rig, self.durable = rig, durable

    async def end(self, *, crash: bool) -> None:
        rig = self.running
        self.rig = None
        self.at = rig.clock.at
        self.events["crash" if crash else "stop"] += 1
        for name, loads in (("load", rig.journal.loads), ("failed load", rig.journal.failed_loads)):
            self.events[f"{name} of many"] += sum(len(users) > 1 for users in loads)
        if crash:
            await rig.crash()
        else:
            heal(rig)
            await rig.stop()
        assert max(map(len, rig.link.answers.values()), default=1) == 1
        assert not self.early, "a reply showed what was not durable"
        assert set(rig.ended) <= {DISK_FAILED}, "a part of the service ended by itself"
        self.published += rig.link.published

    def move(self, by: int) -> None:
        """Move the clock."""
        clock = self.running.clock
        clock.at += by
        self.latest = max(self.latest, clock.at)
        self.moves += 1

    async def answer(self, send: Callable[[Rig], str]) -> tuple[Answer | None, int]:
        """The answer to a request, and the end of the log when it left.

        None where the service ended without an answer.
        """
        while (rig := self.rig) is None:  # noqa: ASYNC110 -- turns are all the time there is
            await asyncio.sleep(0)
        durable, to = self.durable, send(rig)
        while self.rig is rig and to not in rig.link.answers:  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0)
        if to not in rig.link.answers:
            return None, 0
        (answer,) = rig.link.answers[to]
        if answer.code in NOT_NOW:
            self.events[answer.code] += 1
            rig.seconds += answer.error["retry_after"] or 0
        return answer, durable[to]

    async def call(self, verb: str, user: str, body: dict[str, Any]) -> Answer:
        """One call with retries until it is settled."""
        while True:
            answer, _ = await self.answer(lambda rig: rig.send(verb, user, **body))
            if answer is not None and answer.code not in NOT_NOW:
                return answer
            await asyncio.sleep(0)


def heal(rig: Rig) -> None:
    """Let nothing fail or wait any more."""
    for gate in GATES:
        getattr(rig.journal, gate).open()
    rig.journal._append_faults.clear()
    rig.journal._read_faults.clear()
    rig.journal._end_faults = 0
    for cell in rig.registry._cells.values():
        while isinstance(cell.actor, Broken):  # broken more than once, perhaps
            cell.actor = cell.actor.actor
    rig.link.failing = rig.link.failing_flushes = 0
    rig.seconds += max(BACKOFF_S)


async def states(rig: Rig, users: tuple[str, ...]) -> dict[str, bytes]:
    """The live state of every user who has one, as bytes."""
    rig.registry._limits = rig.registry._limits._replace(live_max=100)
    for user in users:
        assert (await rig.ask("stats", user)).code == ""
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

    def snapshot(self) -> bool:
        return self.actor.snapshot()
