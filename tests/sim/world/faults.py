"""A world with clients in it, and all that goes wrong meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from actors.user.recovery import TOGETHER
from tests.sim.world.invariants import Invariant, judging
from tests.sim.world.service import GATES, Broken, World
from tests.support.faults import Fault

BETWEEN_S: Final = 0.004
"""How long from one thing to the next, on average."""
QUIET_S: Final = (*(60, 900, 3_600) * 3, *(6 * 3_600,) * 2, 30 * 3_600)
"""How long nobody calls, now and then."""

_FAULTS: Final = (Fault.NOT_STORED, Fault.UNKNOWN_AND_LOST, Fault.UNKNOWN_BUT_STORED)
_DISK_FAULTS: Final = (Fault.DISK_FAILED_AND_LOST, Fault.DISK_FAILED_BUT_STORED)


async def live(world: World, clients: list[Coroutine[Any, Any, None]]) -> None:
    """Let the clients make their calls while things go wrong; all is well at the end."""
    await world.begin()
    tasks = [asyncio.create_task(client) for client in clients]
    everyone = asyncio.gather(*tasks)
    try:
        while not everyone.done():
            await _next(world, everyone)
        everyone.result()
    finally:
        everyone.cancel()
        await asyncio.gather(everyone, *tasks, return_exceptions=True)
    if world.failed.is_set() or world.running.ended:
        await world.end(crash=True)
        world.calm = True
        await world.begin()
    world.process_of().fuse = None
    await asyncio.gather(*world.opening)
    rig = world.running
    await world.heal(rig)
    await rig.writer.ready()
    await rig.idle()
    world.judge()
    with judging(Invariant.ONE_ANSWER):
        count = {to: len(rig.link.answers.get(to, ())) for to in rig.sent}
        assert count == dict.fromkeys(rig.sent, 1)


async def _next(world: World, everyone: asyncio.Future[Any]) -> None:
    """Wait a while, then let one thing happen."""
    loop, rng = asyncio.get_running_loop(), world.rng
    while (left := world.wake_at - loop.time()) > 0 and rng.random() < 0.7:
        await _until(world, everyone, left)
    await _until(world, everyone, rng.expovariate(1 / BETWEEN_S))
    world.see()
    check_bounds(world)
    with judging(Invariant.ONCE):
        refused = world.running.journal.refused
        assert not refused, ("rows were refused", refused)
    if world.failed.is_set() or world.running.ended:
        await world.end(crash=True)
        await world.begin()
    elif not everyone.done():
        await disturb(world)


async def _until(world: World, everyone: asyncio.Future[Any], seconds: float) -> None:
    """Wait so long, or until the service or all clients have ended."""
    failed = asyncio.create_task(world.failed.wait())
    await asyncio.wait({failed, everyone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    failed.cancel()


def check_bounds(world: World) -> None:
    """Whatever grows has its bound."""
    rig = world.running
    registry, writer = rig.registry, rig.writer
    limits = registry._limits
    with judging(Invariant.BOUNDED):
        assert registry.waiting <= limits.waiting_max, registry.waiting
        for cell in registry._cells.values():
            assert cell.waiting <= limits.waiting_per_user_max, (cell.user, cell.waiting)
        assert len(registry) <= limits.live_max + limits.waiting_max, len(registry)
        for block in writer._blocks:
            # A block takes whole changes: the last one is a batch, at most.
            assert len(block.rows) < writer._block_rows_max + 20, len(block.rows)
        together = max(map(len, rig.journal.loads), default=0)
        assert together <= max(limits.recoveries_max, TOGETHER), together


async def disturb(world: World) -> None:
    """One thing that happens to the service."""
    rng = world.rng
    what = rng.choices(list(_TROUBLE), [how_often for how_often, _ in _TROUBLE.values()])[0]
    world.events[what] += 1
    world.trace.note(what)
    if what == "torn":  # durable or not, but nobody was told
        getattr(world.running.journal, rng.choice(GATES)).close()
        await asyncio.sleep(rng.random() * 10 * BETWEEN_S)
    if what in {"crash", "torn", "stop"}:
        await world.end(crash=what != "stop")
        await world.begin()
    _TROUBLE[what][1](world)


def _idle(world: World) -> None:
    registry = world.running.registry
    registry._limits = registry._limits._replace(idle_s=0.0)
    registry.passivate()
    registry._limits = registry._limits._replace(idle_s=40.0)


def _quiet(world: World) -> None:
    seconds = world.rng.choice(QUIET_S) * (0.5 + world.rng.random())
    world.wake_at = asyncio.get_running_loop().time() + seconds


def _publish(world: World) -> None:
    link = world.running.link
    link.failing += world.rng.randrange(3)
    link.failing_flushes += world.rng.randrange(3)


def _read(world: World) -> None:
    user = world.rng.choice([*world.users, None])
    world.running.journal.fail_reads(world.rng.randint(1, 3), user)


def _hold(world: World, which: str | None = None) -> None:
    """Close a gate for a while, in which other things may go wrong as well."""
    gate = getattr(world.running.journal, which or world.rng.choice(GATES))
    gate.close()

    async def open_later(seconds: float) -> None:
        await asyncio.sleep(seconds)
        gate.open()

    task = asyncio.create_task(open_later(world.rng.random() * 10 * BETWEEN_S))
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


def _burn(world: World) -> None:
    """The process ends in the middle of something, a few steps from now."""
    world.process_of().fuse = world.rng.randrange(40)


def _nothing(_: World) -> None:
    """The service ended and began again."""


_TROUBLE: Final[dict[str, tuple[int, Callable[[World], None]]]] = {
    "fault": (20, lambda world: world.running.journal.fail_appends(world.rng.choice(_FAULTS))),
    "disk": (1, lambda world: world.running.journal.fail_appends(world.rng.choice(_DISK_FAULTS))),
    "read": (12, _read),
    "end": (4, lambda world: world.running.journal.fail_last_seq(world.rng.randint(1, 3))),
    "idle": (8, _idle),
    "clock": (3, lambda world: world.move(world.rng.choice(world.jumps))),
    "quiet": (3, _quiet),
    "publish": (8, _publish),
    "defect": (6, _break),
    "hold": (10, _hold),
    "fuse": (5, _burn),
    "crash": (2, _nothing),
    "torn": (2, _nothing),
    "stop": (3, _nothing),
}
"""What happens, how often, and how."""
