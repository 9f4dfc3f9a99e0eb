"""One process of the service in its world: it may end between any two of its steps.

A step is whatever outlasts the process: a write that is made, a write that has become durable,
an answer, a publication. Between two of them nothing can be told from outside, so a process that
may end at any step may end anywhere.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Protocol

from tests.sim.world.invariants import Invariant
from tests.sim.world.trace import Trace
from tests.support.rig import FakeConnection


class Around(Protocol):
    """What a process has around it, and what outlives it: see `tests.sim.world.service.World`."""

    steps: int
    trace: Trace
    failed: asyncio.Event
    due: dict[str, tuple[str, bytes]]
    confirmed: set[str]

    @property
    def last_seq(self) -> int: ...

    def violated(self, invariant: Invariant, what: object) -> None: ...

    def delay(self, what: str) -> float: ...


@dataclass
class Process:
    """A `tests.sim.world.disk.Life`.

    Attributes:
        fuse: how many more steps it makes; None: until it is ended.
        over: it ended by that.
    """

    world: Around
    fuse: int | None = None
    over: bool = False

    def step(self, what: str) -> bool:
        if self.over:
            return False
        self.world.steps += 1
        if self.fuse is None:
            return True
        self.fuse -= 1
        if self.fuse >= 0:
            return True
        self.over = True
        self.world.trace.note("over", what)
        self.world.failed.set()
        return False

    def delay(self, what: str) -> float:
        return self.world.delay(what)


@dataclass
class Wire(FakeConnection):
    """Where answers and publications of one process leave, looked at as they do.

    Attributes:
        durable: the end of the log when each answer left.
        waiting: who waits for answers.
    """

    process: Process = field(kw_only=True)
    durable: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, asyncio.Future[None]] = field(default_factory=dict)

    def send(self, reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
        if self.broken or not self.process.step("answer"):
            return
        world, to = self.process.world, reply_to.decode()
        body = json.loads(payload)
        if body.get("seq", 0) > world.last_seq:  # to raise here would only end the task that sends
            world.violated(Invariant.DURABLE_FIRST, payload)
        if to in self.answers:
            world.violated(Invariant.ONE_ANSWER, (to, payload))
        self.durable.setdefault(to, world.last_seq)
        world.trace.note("answer", to, payload)
        super().send(reply_to, payload, headers)
        waiter = self.waiting.pop(to, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> None:
        world, notice = self.process.world, (headers or {})["Nats-Msg-Id"]
        if not self.process.step("publish"):
            await asyncio.get_running_loop().create_future()
        await super().publish(subject, payload, headers)
        if world.due.get(notice) is None:
            world.violated(Invariant.DURABLE_FIRST, (subject, "is published and not durable"))
        elif world.due[notice] != (subject, payload):
            world.violated(Invariant.ALERTS, (subject, payload, "and", world.due[notice]))
        world.trace.note("publish", notice)

    async def flush(self) -> None:
        if not self.process.step("flush"):
            await asyncio.get_running_loop().create_future()
        sent = {one.id for one in self.published}
        await super().flush()
        self.process.world.confirmed |= sent

    def end(self) -> None:
        """Nobody gets an answer any more."""
        self.broken = True
        for waiter in self.waiting.values():
            if not waiter.done():
                waiter.set_result(None)
