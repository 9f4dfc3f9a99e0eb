"""Memory is bounded by bytes: of live users, of routes, of names."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from actors.billing.catalog import catalog
from actors.billing.counters import layouts
from actors.billing.counters.layout import Layout
from actors.billing.counters.layouts import layout_of
from actors.billing.state import snapshot as snapshots
from actors.billing.state import weight as weights
from actors.edge import dispatch
from actors.user.actor import UserActor
from messages.subjects import PREFIX
from tests.support.meter import micros
from tests.support.rig import Rig, Start

WIDE = "\U0001f600"  # four bytes
MB = 1_048_576
FAT = 2_200_000
"""Bytes of a user with a thousand holds with long names: two do not fit into four megabytes."""


async def fatten(rig: Rig, user: str) -> None:
    """Give a user holds with names as long as they may be."""
    await rig.ask("subscribe", user, plan="Enterprise", billing_cycle="monthly")
    for number in range(60):
        operations = [
            {"provider": "exa", "model_used": WIDE * 250 + f"{number}.{n}"} for n in range(16)
        ]
        hold = {"ttl": 80_000, "event_id": f"{number}" + WIDE * 100}
        answer = await rig.ask("preflight", user, operations=operations, hold=hold)
        assert answer.body["allowed"], answer.payload


def users_of(rig: Rig) -> set[str]:
    return set(rig.registry._cells)


async def test_live_users_are_bounded_by_the_bytes_of_their_states(start: Start) -> None:
    rig = await start(live_bytes_max=4 * MB)
    for user in ("a", "b", "c", "d"):
        await fatten(rig, user)
        await rig.idle()
        assert rig.registry._bytes <= 4 * MB + FAT
    assert len(users_of(rig)) <= 3
    for number in range(100):
        await rig.ask("track", f"small{number}", provider="exa")
    assert rig.registry._bytes <= 4 * MB
    assert len(users_of(rig)) > 90  # small ones have room beside a fat one
    for user in ("a", "b", "c", "d"):
        held = (await rig.ask("stats", user)).body["held"]
        assert held["open"] == 960  # whoever left comes back with all


async def test_a_user_with_overrides_weighs_more(start: Start) -> None:
    rig = await start()
    for user, overrides in (("alice", {"openai_calls": 5}), ("bob", {})):
        plan = {"plan": "Pro", "billing_cycle": "monthly", "overrides": overrides}
        await rig.ask("subscribe", user, **plan)
    alice, bob = (weights.weight(rig.live(user).account) for user in ("alice", "bob"))
    assert alice >= bob + weights.OVERRIDES_BYTES


async def test_the_bytes_of_all_are_those_of_each_whoever_comes_and_goes(start: Start) -> None:
    rig = await start(live_users_max=5, idle_s=10)
    rng = random.Random(20_261_129)
    for _ in range(300):
        user = f"u{rng.randrange(12)}"
        fields: dict[str, Any] = {"provider": "exa", "model_used": f"m{rng.randrange(40)}"}
        await rig.ask(rng.choice(["track", "hold", "stats"]), user, **fields)
        rig.seconds += rng.random() * 3
        if rng.random() < 0.1:
            rig.registry.passivate()
        cells = rig.registry._cells.values()
        assert rig.registry._bytes == sum(cell.weight for cell in cells)
        for cell in cells:
            if isinstance(cell.actor, UserActor) and cell.actor.quiescent():
                assert cell.weight >= cell.actor.weight() * 0.8
    assert rig.registry._bytes > 0


def traced(make: Callable[[], object]) -> int:
    """How many bytes what is made takes."""
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] if made is not None else 0
    finally:
        tracemalloc.stop()


async def test_a_user_weighs_about_as_much_as_the_memory_it_takes(rig: Rig) -> None:
    await fatten(rig, "fat")
    account = rig.live("fat").account
    body = snapshots.encode(account)
    took = traced(lambda: snapshots.decode("fat", body))
    assert took > MB
    assert 0.7 * took < weights.weight(account) < 2.5 * took  # texts that are sent take more


async def test_units_weigh_about_what_they_take_in_whatever_period_they_are(rig: Rig) -> None:
    names = [f"unit_{number}" for number in range(60)]
    for name in names:
        await rig.catalog("units.put", id=name)
    for month in (3, 4):
        rig.clock.at = micros(f"2026-0{month}-15T00:00:00Z")
        for number in range(120):
            drawn = {names[(number + n) % 60]: n + 1 for n in range(16)}
            await rig.ask("track", provider="exa", model_used=f"m{number}", units=drawn)
    account = rig.live("alice").account
    body = snapshots.encode(account)
    took = traced(lambda: snapshots.decode("alice", body))
    assert took > 150_000
    assert 0.7 * took < weights.weight(account) < 2.5 * took
    again = snapshots.decode("alice", body)
    assert weights.weight(again) == weights.weight(account)


async def test_closed_periods_weigh_with_their_names_whatever_came_since(rig: Rig) -> None:
    for number in range(40):
        plan = {"plan": "Pro", "billing_cycle": "monthly", "period": "new"}
        assert (await rig.ask("subscribe", **plan)).code == ""
        names = [WIDE * 200 + f"{number}.{n}" for n in range(10 if number < 20 else 1)]
        events = [{"provider": "exa", "model_used": name} for name in names]
        assert (await rig.ask("batch", events=events)).body["accepted"] == len(names)
        rig.clock.at += 1_000_000
    account = rig.live("alice").account
    names_take = sum(period.layout.weight for period in account.closed)
    assert names_take > 300_000
    assert names_take < weights.weight(account) < 2 * names_take


def test_names_weigh_about_as_much_as_the_memory_they_take() -> None:
    """They are those of nobody else."""
    names = [[WIDE * 200 + f"{kind}{number}" for number in range(100)] for kind in "ma"]
    texts = [[text.encode() for text in each] for each in names]
    names.clear()
    made: list[Layout] = []

    def make() -> object:
        made.append(layout_of(*[[text.decode() for text in each] for each in texts]))
        return made

    took = traced(make)
    assert took > 100_000
    assert 0.7 * took < made[0].weight < 2.5 * took


async def test_no_route_is_kept_for_a_subject_that_cannot_be_valid(rig: Rig) -> None:
    edge = rig.service._edge
    long = "x" * 3_800
    subjects = [
        f"{PREFIX}.{long}",
        f"{PREFIX}.{long}.alice",
        f"{PREFIX}.track.{long}",
        f"{PREFIX}.track.=61",
        f"{PREFIX}.p.1.track.alice",
        f"{PREFIX}.nothing.alice",
        f"{PREFIX}.catalog.{long}",
    ]
    before = dict(edge._routes)
    for subject in subjects:
        rig.deliver(subject)
    assert edge._routes == before
    await rig.idle()


async def test_routes_are_bounded_by_their_bytes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "ROUTES_BYTES_MAX", 100_000)
    edge, sizes = rig.service._edge, []
    for number in range(400):
        edge.route_of(f"{PREFIX}.track.{'x' * 100}{number}".encode())
        sizes.append(edge._routes_bytes)
        assert edge._routes_bytes <= 100_000
    assert len(edge._routes) > 10
    assert max(sizes) > 90_000


async def test_the_catalogue_keeps_no_route_with_long_names(rig: Rig) -> None:
    routes = rig.service._context.catalog._routes
    await rig.ask("enforce", provider="exa", model_used="m" * 250, endpoint="e" * 1_000)
    assert not any(sum(len(x or "") for x in names) > 256 for names in routes)
    await rig.ask("enforce", provider="exa", model_used="m")
    assert ("exa", "m", None, None) in routes
    assert catalog.ROUTE_CHARACTERS_MAX == 256


async def test_steps_with_long_names_are_not_kept_for_others(rig: Rig) -> None:
    layouts._step.cache_clear()
    await rig.ask("track", provider="exa", model_used="m" * 256)
    assert layouts._step.cache_info().currsize == 0
    await rig.ask("track", provider="exa", model_used="m")
    assert layouts._step.cache_info().currsize == 1
