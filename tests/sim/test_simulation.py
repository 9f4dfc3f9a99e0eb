"""Whole lives of the service in one process: clients that retry, faults and crashes.

Everything is drawn from the seed, and time is that of the loop, so a seed that fails fails again.
What is checked here is plain; `test_verbs` has the model.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import pytest

from messages.codec import decode_event
from messages.stored.events import (
    CountersReset,
    PeriodRolled,
    UsageRecorded,
)
from persistence.records import Row
from tests.sim.world.faults import live
from tests.sim.world.lifetimes import drawn
from tests.sim.world.loop import in_virtual_time
from tests.sim.world.service import World, states
from tests.support.rig import Rig

SEEDS: Final = range(24)
USERS: Final = ("alice", "bob", "carol", "dora")
CLIENTS: Final = 6
CALLS: Final = 25
CROWD: Final = tuple(f"u{n}" for n in range(24))
CROWD_SEEDS: Final = range(104, 114)
TAVILY_CALLS: Final = 10  # the free plan's limit


@dataclass
class Seen(World):
    """The world, and what the clients sent and were told."""

    acknowledged: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    asked: set[tuple[str, str]] = field(default_factory=set)


async def client(world: Seen, number: int, rng: random.Random) -> None:
    """Makes calls one after the other; changes always with a key."""
    seen: dict[str, int] = defaultdict(int)
    for count in range(CALLS):
        await world.pause(rng)
        user = rng.choice(world.users)
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


async def run(seed: int, users: tuple[str, ...], clients: int) -> Seen:
    rng = random.Random(seed)
    world = Seen(rng, users)
    await live(
        world, [client(world, number, random.Random(rng.random())) for number in range(clients)]
    )
    return world


# -- what must hold at the end


def check_log(world: Seen, rows: list[Row]) -> None:
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


async def check_totals(rig: Rig, users: tuple[str, ...]) -> None:
    """What `stats` shows is what the log holds since the last reset or opening."""
    for user in users:
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


async def live_and_check(seed: int, users: tuple[str, ...], clients: int) -> Seen:
    """A life with all that must hold at its end."""
    world = await run(seed, users, clients)
    await check_totals(world.running, users)
    live = await states(world.running, users)
    await world.end(crash=True)

    rows = await world.journal.rows(0, 10**6)
    check_log(world, rows)
    check_alerts(rows)
    for forget in (False, True):
        if forget:
            world.journal._snapshots.clear()
        again = await Rig.start(world.journal, clock=world.clock)
        assert await states(again, users) == live, "replay is not what was live"
        await again.stop()
    return world


def life(seed: int, users: tuple[str, ...], clients: int) -> Seen:
    with drawn(seed):
        return in_virtual_time(lambda: live_and_check(seed, users, clients))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_fails_nothing_acknowledged_is_lost_or_doubled(seed: int) -> None:
    life(seed, USERS, CLIENTS)


@pytest.mark.parametrize("seed", CROWD_SEEDS)
def test_a_crowd_that_is_loaded_together_loses_nothing_while_reads_fail(seed: int) -> None:
    world = life(seed, CROWD, len(CROWD))
    assert world.events["load of many"] > 10
    assert world.events["failed load of many"] > 0
