"""A world with clients in it, and all that goes wrong meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, Final

from tests.support.faults import Fault
from tests.world.service import GATES, Broken, World, heal

TURNS_MAX: Final = 200_000

_FAULTS: Final = (Fault.NOT_STORED, Fault.UNKNOWN_AND_LOST, Fault.UNKNOWN_BUT_STORED)
_DISK_FAULTS: Final = (Fault.DISK_FAILED_AND_LOST, Fault.DISK_FAILED_BUT_STORED)


async def live(world: World, clients: list[Coroutine[Any, Any, None]]) -> None:
    """Let the clients make their calls while things go wrong; all is well at the end."""
    tasks = [asyncio.create_task(client) for client in clients]
    await world.begin()
    for turn in itertools.count():
        await asyncio.sleep(0)
        assert turn < TURNS_MAX, "the clients do not come to an end"
        assert not world.running.journal.refused, "what was written could not be"
        if world.running.ended:
            await world.end(crash=True)
            await world.begin()
        elif all(task.done() for task in tasks):
            break
        elif world.rng.random() < 0.3:
            await disturb(world)
    for task in tasks:
        task.result()
    await asyncio.gather(*world.opening)
    rig = world.running
    heal(rig)
    await rig.writer.ready()
    await rig.idle()
    assert {to: len(rig.link.answers.get(to, ())) for to in rig.sent} == dict.fromkeys(rig.sent, 1)


async def disturb(world: World) -> None:
    """One thing that happens to the service."""
    rng = world.rng
    what = rng.choices(list(_TROUBLE), [how_often for how_often, _ in _TROUBLE.values()])[0]
    world.events[what] += 1
    if what == "torn":  # durable or not, but nobody was told
        getattr(world.running.journal, rng.choice(GATES)).close()
        await turns(rng.randrange(40))
    if what in {"crash", "torn", "stop"}:
        await world.end(crash=what != "stop")
        await world.begin()
    _TROUBLE[what][1](world)


def _idle(world: World) -> None:
    world.running.seconds += 10_000
    world.running.registry.passivate()


def _publish(world: World) -> None:
    link = world.running.link
    link.failing += world.rng.randrange(3)
    link.failing_flushes += world.rng.randrange(3)


def _read(world: World) -> None:
    user = world.rng.choice([*world.users, None])
    world.running.journal.fail_reads(world.rng.randint(1, 3), user)


def _hold(world: World, which: str | None = None) -> None:
    """Close a gate for some turns, in which other things may go wrong as well."""
    gate = getattr(world.running.journal, which or world.rng.choice(GATES))
    gate.close()

    async def open_later(count: int) -> None:
        await turns(count)
        gate.open()

    task = asyncio.create_task(open_later(world.rng.randrange(40)))
    world.opening.add(task)
    task.add_done_callback(world.opening.discard)


def _break(world: World) -> None:
    cells = [world.running.registry._cells.get(user) for user in world.users]
    live = [cell for cell in cells if cell is not None and cell.actor is not None]
    ahead = [cell for cell in live if cell.actor is not None and not cell.actor.quiescent()]
    if live:
        cell = world.rng.choice(ahead or live)
        assert cell.actor is not None
        cell.actor = Broken(cell.actor)
        _hold(world, "appends" if ahead else None)  # so that it is met with rows in flight


def _nothing(_: World) -> None:
    """The service ended and began again."""


_TROUBLE: Final[dict[str, tuple[int, Callable[[World], None]]]] = {
    "fault": (20, lambda world: world.running.journal.fail_appends(world.rng.choice(_FAULTS))),
    "disk": (1, lambda world: world.running.journal.fail_appends(world.rng.choice(_DISK_FAULTS))),
    "read": (12, _read),
    "end": (4, lambda world: world.running.journal.fail_last_seq(world.rng.randint(1, 3))),
    "idle": (8, _idle),
    "clock": (4, lambda world: world.move(world.rng.choice(world.jumps))),
    "publish": (8, _publish),
    "defect": (6, _break),
    "hold": (10, _hold),
    "crash": (4, _nothing),
    "torn": (2, _nothing),
    "stop": (3, _nothing),
}
"""What happens, how often, and how."""


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
