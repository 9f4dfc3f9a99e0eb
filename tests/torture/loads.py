"""Deaths under load: large blocks, checkpoints, and the files that are derived from the log.

Few requests, each with hundreds of events, so that the index takes in lumps and the filter of
keys is written while the service dies. What is asked is simple: each acknowledged event is
there once, at the position that was told, and comes again as a duplicate.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from messages.subjects import PREFIX, request_subject
from tests.sim.world.service import NOT_NOW
from tests.support.meter import NOON
from tests.support.rig import SetClock
from tests.torture.judging import verify
from tests.torture.line import Line, NotServed, read_log
from tests.torture.rounds import Result, fresh
from tests.torture.shim import How, Op, Shim
from tests.torture.stage import NEVER_S, Stage, now

AGAIN_S: Final = 0.01
REFUSED_S: Final = 0.05
"""How long a client waits before it tries again, if nobody served it or it was refused."""
USERS: Final = tuple(f"load{n}" for n in range(40))
PUMPS: Final = 8
EVENTS: Final = 500
AGAIN: Final = 0.15
LIVES_S: Final = 1.5
SHOTS: Final = (
    ((Op.WRITE, Op.SYNC, Op.TRUNCATE, Op.RENAME), 3_000),
    ((Op.SYNC,), 200),
    ((Op.RENAME, Op.TRUNCATE), 3),
)


@dataclass
class Ledger:
    """What was sent and acknowledged.

    Attributes:
        sent: the keys of each batch, by its user.
        seqs: the positions that were told, by user and key.
        answered: set with each answer to what was sent after `since`.
    """

    line: Line
    rng: random.Random
    sent: list[tuple[str, list[str]]] = field(default_factory=list)
    done: list[tuple[str, list[str]]] = field(default_factory=list)
    seqs: dict[tuple[str, str], int] = field(default_factory=dict)
    since: float = 0.0
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def pump(self, over: Callable[[], bool]) -> None:
        """Send batches until it is over, now and then one that was acknowledged before."""
        while not over():
            if self.done and self.rng.random() < AGAIN:
                await self._settle(*self.rng.choice(self.done))
                continue
            number = len(self.sent)
            batch = (self.rng.choice(USERS), [f"{number}.{n}" for n in range(EVENTS)])
            self.sent.append(batch)
            await self._settle(*batch)
            self.done.append(batch)

    async def _settle(self, user: str, keys: list[str]) -> None:
        """Send it until each event has its answer."""
        events = [{"provider": "exa", "event_id": key} for key in keys]
        payload = msgspec.json.encode({"events": events})
        while True:
            await self.line.stage.up.wait()
            began = now()
            to = self.line.deliver(request_subject(PREFIX, "batch", user), payload)
            try:
                answer = await self.line.outcome(to)
            except NotServed:
                await asyncio.sleep(AGAIN_S)
                continue
            if answer is None:
                continue
            if answer.code:
                assert answer.code in NOT_NOW, answer.payload
                await asyncio.sleep(REFUSED_S)
                continue
            self._note(user, keys, msgspec.json.decode(answer.payload)["results"])
            if began >= self.since:
                self.answered.set()
            return

    def _note(self, user: str, keys: list[str], results: list[dict[str, Any]]) -> None:
        for key, result in zip(keys, results, strict=True):
            assert "error" not in result, result
            known = self.seqs.get((user, key))
            assert known is None or result["duplicate"], (user, key, "happened again")
            assert known in {None, result["seq"]}, (user, key, "moved")
            self.seqs[user, key] = result["seq"]

    def check(self, calls: dict[str, int]) -> int:
        """Hold the log, and what the service counted, against the book; the rows of the log."""
        rows = [row for row in read_log(self.line.stage) if row.kind == "usage"]
        found = {(row.user, row.key): row.seq for row in rows}
        assert len(found) == len(rows), "an event is there twice"
        assert found == self.seqs, "the log is not what was acknowledged"
        assert Counter(row.user for row in rows) == Counter(calls)
        return len(rows)


async def kill_under_load(directory: Path, seed: int, times: int) -> Result:
    """One round: all batches are acknowledged in the end."""
    rng = random.Random(f"load.{seed}")
    stage = Stage(fresh(directory), Shim(directory), log_level="error")
    stage.shim.set_clock(NOON)
    ledger = Ledger(Line(stage, SetClock(NOON)), rng)
    result = Result("load", times=times)
    calls: dict[str, int] = {}
    over = False

    async def strike() -> None:
        nonlocal over
        for _ in range(times):
            await _kill(stage, rng)
            ledger.since = now()
            ledger.answered.clear()
            async with asyncio.timeout(NEVER_S):
                await ledger.answered.wait()
            result.first_s.append(now() - ledger.since)
        over = True

    try:
        async with asyncio.TaskGroup() as parts:
            parts.create_task(stage.run())
            await stage.up.wait()
            await ledger.line.open()
            async with asyncio.TaskGroup() as acts:
                for _ in range(PUMPS):
                    acts.create_task(ledger.pump(lambda: over))
                acts.create_task(strike())
            for user in {user for user, _ in ledger.sent}:
                to = ledger.line.deliver(request_subject(PREFIX, "stats", user))
                calls[user] = (await ledger.line.answer(to)).body["total_calls"]
            await verify(stage)
            await stage.stop()
        ledger.line.check_answers()
        result.rows = ledger.check(calls)
    finally:
        await ledger.line.close()
        stage.close()
    result.requests = len(ledger.line.sent)
    result.killed, result.failed = stage.killed, stage.failed
    return result


async def _kill(stage: Stage, rng: random.Random) -> None:
    await stage.up.wait()
    if rng.random() < 0.3:
        await asyncio.sleep(rng.random() * LIVES_S)
        stage.kill_service()
        return
    ops, calls = rng.choice(SHOTS)
    stage.shim.kill_at(rng.randint(1, calls), rng.choice(list(How)), *ops)
    await stage.die_at_a_call(2 * LIVES_S)
