"""Whole lives of the service in one process: clients that retry, faults and crashes.

Everything is drawn from the seed, and nothing waits for real time or threads, so a seed that
fails fails again.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import pytest

from actors.billing import snapshot as snapshots
from actors.billing.notices import notices_of
from messages.codec import decode_event
from messages.events import CountersReset, PeriodRolled, UsageRecorded
from messages.subjects import PREFIX
from messages.units import MICROS_PER_DAY, to_datetime
from persistence.journal import Row
from persistence.memory import MemoryJournal
from tests.support.faults import Fault
from tests.support.rig import Answer, Published, Rig, without_waits

SEEDS: Final = range(40)
USERS: Final = ("alice", "bob", "carol", "dora")
CLIENTS: Final = 6
CALLS: Final = 25
TAVILY_CALLS: Final = 10  # the free plan's limit
TURNS_MAX: Final = 200_000

_FAULTS: Final = (Fault.NOT_STORED, Fault.UNKNOWN_AND_LOST, Fault.UNKNOWN_BUT_STORED)
_DISK_FAULTS: Final = (Fault.DISK_FAILED_AND_LOST, Fault.DISK_FAILED_BUT_STORED)


@dataclass
class World:
    """The service of the moment, the journal that outlives it, and what everybody saw."""

    rng: random.Random
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    rig: Rig | None = None
    at: int = 0
    acknowledged: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    published: list[Published] = field(default_factory=list)
    asked: set[tuple[str, str]] = field(default_factory=set)
    events: Counter[str] = field(default_factory=Counter)

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
        send = rig.link.send

        def checked(reply_to: bytes, payload: bytes, headers: dict[str, str] | None = None) -> None:
            rows = self.journal._rows
            seq = json.loads(payload).get("seq", 0)
            assert seq <= (rows[-1].seq if rows else 0), "a reply shows what is not durable"
            send(reply_to, payload, headers)

        rig.link.send = checked  # type: ignore[method-assign]
        await rig.service.start()
        self.rig = rig

    async def end(self, *, crash: bool) -> None:
        rig = self.rig
        assert rig is not None
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

    async def call(self, verb: str, user: str, body: dict[str, Any]) -> Answer:
        """One call with retries until it is settled."""
        while True:
            while (rig := self.rig) is None:  # noqa: ASYNC110 -- turns are all the time there is
                await asyncio.sleep(0)
            to = rig.send(verb, user, **body)
            while self.rig is rig and to not in rig.link.answers:  # noqa: ASYNC110 -- as above
                await asyncio.sleep(0)
            if to in rig.link.answers:
                (answer,) = rig.link.answers[to]
                if not (answer.error and answer.error["retryable"]):
                    return answer
                self.events[answer.code] += 1
                rig.seconds += answer.error["retry_after"] or 0
            await asyncio.sleep(0)


def heal(rig: Rig) -> None:
    rig.journal.appends.open()
    rig.journal.reads.open()
    rig.journal._append_faults.clear()
    rig.journal._read_faults.clear()
    rig.journal._end_faults = 0
    rig.link.failing = rig.link.failing_flushes = 0


async def client(world: World, number: int, rng: random.Random) -> None:
    """Makes calls one after the other; changes always with a key."""
    seen: dict[str, int] = defaultdict(int)
    for count in range(CALLS):
        user = rng.choice(USERS)
        verb = rng.choices(["track", "reset", "enforce", "stats", "logs"], [60, 4, 10, 10, 5])[0]
        body: dict[str, Any] = {}
        if verb in {"track", "enforce"}:
            body["provider"] = rng.choice(["tavily", "gemini", "huggingface"])
        if verb == "track":
            body["cost"] = rng.randrange(10**7) / 10**9
            body["tokens_input"] = rng.randrange(1000)
        if verb in {"track", "reset"}:
            body["event_id"] = f"{number}.{count}"
            world.asked.add((user, body["event_id"]))
        reply = (await world.call(verb, user, body)).body
        assert "error" not in reply, reply
        if not reply.get("duplicate"):
            assert reply["seq"] >= seen[user], "seq went backwards"
            seen[user] = reply["seq"]
        if verb == "track" or (verb == "reset" and reply["reset"]):
            world.acknowledged[user, body["event_id"]] = reply
            if rng.random() < 0.2:
                again = (await world.call(verb, user, body)).body
                assert again == reply | {"duplicate": True}


async def disturb(world: World, rng: random.Random) -> None:
    """One thing that happens to the service."""
    rig = world.rig
    assert rig is not None
    what = rng.choices(
        ["fault", "disk", "read", "end", "hold", "idle", "clock", "publish", "crash", "stop"],
        [20, 1, 12, 4, 20, 8, 4, 8, 4, 3],
    )[0]
    world.events[what] += 1
    if what == "fault":
        rig.journal.fail_appends(rng.choice(_FAULTS))
    elif what == "disk":
        rig.journal.fail_appends(rng.choice(_DISK_FAULTS))
    elif what == "read":
        rig.journal.fail_reads(rng.randint(1, 3), rng.choice([*USERS, None]))
    elif what == "end":
        rig.journal.fail_last_seq(rng.randint(1, 3))
    elif what == "hold":
        gate = rng.choice([rig.journal.appends, rig.journal.reads])
        gate.close()
        await turns(rng.randrange(40))
        gate.open()
    elif what == "idle":
        rig.seconds += 10_000
        rig.registry.passivate()
    elif what == "clock":
        rig.clock.at += rng.choice([1, 20, -1]) * MICROS_PER_DAY
    elif what == "publish":
        rig.link.failing += rng.randrange(3)
        rig.link.failing_flushes += rng.randrange(3)
    else:
        await world.end(crash=what == "crash")
        await world.begin()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def run(seed: int) -> World:
    rng = random.Random(seed)
    world = World(rng)
    await world.begin()
    clients = [
        asyncio.create_task(client(world, number, random.Random(rng.random())))
        for number in range(CLIENTS)
    ]
    for turn in itertools.count():
        await asyncio.sleep(0)
        if all(task.done() for task in clients):
            break
        assert turn < TURNS_MAX, "the clients do not come to an end"
        assert world.rig is not None
        if world.rig.ended:
            await world.end(crash=True)
            await world.begin()
        elif rng.random() < 0.3:
            await disturb(world, rng)
    for task in clients:
        task.result()
    assert world.rig is not None
    heal(world.rig)
    await world.rig.idle()
    return world


# -- what must hold at the end


def check_log(world: World, rows: list[Row]) -> None:
    """Every acknowledged change is there, once, as it was answered; and nothing else is."""
    assert [row.seq for row in rows] == sorted({row.seq for row in rows})
    found = {(row.user, row.key): row for row in rows if row.key is not None}
    assert len(found) == sum(row.key is not None for row in rows)
    assert set(found) == set(world.acknowledged)
    assert set(found) <= world.asked
    for place, reply in world.acknowledged.items():
        row = found[place]
        event = decode_event(row.kind, row.body)
        assert row.seq == reply["seq"]
        if isinstance(event, UsageRecorded):
            assert Fraction(event.cost_nano, 10**9) == Fraction(str(reply["cost"]))
            assert [alert.id for alert in event.alerts] == reply["alerts"]
    ats: dict[str, int] = defaultdict(int)
    for row in rows:
        assert row.at >= ats[row.user]
        ats[row.user] = row.at


def check_alerts(rows: list[Row]) -> None:
    """Each threshold fires once per period and arming, exactly when it is crossed."""
    fired: dict[str, set[tuple[str, int]]] = defaultdict(set)
    calls: Counter[str] = Counter()
    periods: dict[str, str] = {}
    for row in rows:
        event = decode_event(row.kind, row.body)
        if isinstance(event, PeriodRolled | CountersReset):
            fired[row.user].clear()
            calls[row.user] = 0
        if isinstance(event, PeriodRolled):
            periods[row.user] = event.key
        if not isinstance(event, UsageRecorded):
            continue
        assert event.billing_period == periods[row.user]
        for alert in event.alerts:
            threshold = (alert.limit_name, alert.threshold_percentage)
            assert threshold not in fired[row.user]
            fired[row.user].add(threshold)
        calls[row.user] += event.provider == "tavily"
        due = {80, 90, 100}
        due = {percent for percent in due if calls[row.user] * 100 >= percent * TAVILY_CALLS}
        assert {p for name, p in fired[row.user] if name == "tavily_calls"} == due


def check_published(world: World, rows: list[Row]) -> None:
    """Every notice of the log was published, always with the same content, and nothing else."""
    contents: dict[str, set[tuple[str, bytes]]] = defaultdict(set)
    for one in world.published:
        contents[one.id].add((one.subject, one.payload))
    wanted = {
        notice.id: {(notice.subject, notice.payload)}
        for row in rows
        for notice in notices_of(
            PREFIX, row.user, decode_event(row.kind, row.body), row.at, row.seq
        )
    }
    assert contents == wanted


async def check_totals(rig: Rig) -> None:
    """What `stats` shows is what the log holds since the last reset or opening."""
    for user in USERS:
        stats = (await rig.ask("stats", user)).body
        rows = await rig.inner.rows(0, 10**6)
        calls, cost = 0, Fraction(0)
        for row in rows:
            event = decode_event(row.kind, row.body)
            if row.user == user and isinstance(event, PeriodRolled | CountersReset):
                calls, cost = 0, Fraction(0)
            elif row.user == user and isinstance(event, UsageRecorded):
                calls, cost = calls + 1, cost + Fraction(event.cost_nano, 10**9)
        assert stats["total_calls"] == calls
        assert Fraction(str(stats["total_cost"])) == cost


async def states(rig: Rig) -> dict[str, bytes]:
    for user in USERS:
        assert (await rig.ask("stats", user)).code == ""
    return {user: snapshots.encode(rig.live(user).account) for user in USERS if rig.live(user)}


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_fails_nothing_acknowledged_is_lost_or_doubled(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    print(f"seed {seed}")
    without_waits(monkeypatch)
    async with asyncio.timeout(60):
        world = await run(seed)
        assert world.rig is not None
        await check_totals(world.rig)
        world.rig.registry._limits = world.rig.registry._limits._replace(live_max=100)
        live = await states(world.rig)
        await world.end(crash=True)

        rows = await world.journal.rows(0, 10**6)
        check_log(world, rows)
        check_alerts(rows)
        check_published(world, rows)
        for forget in (False, True):
            if forget:
                world.journal._snapshots.clear()
            again = await Rig.start(world.journal, at=world.at)
            assert await states(again) == live, "replay is not what was live"
            await again.stop()
    print(dict(world.events), len(rows), to_datetime(world.at))
