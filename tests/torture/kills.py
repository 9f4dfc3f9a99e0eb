"""Deaths and pauses of the service and of the nats-server, at random points."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.torture.book import Moment, Tortured
from tests.torture.shim import How, Op
from tests.torture.stage import NEVER_S, pause

ANY_CALL: Final = (Op.WRITE, Op.SYNC, Op.TRUNCATE, Op.RENAME, Op.SEND)
SHOTS: Final = (
    (ANY_CALL, 400),
    ((Op.WRITE,), 200),
    ((Op.SYNC,), 40),
    ((Op.SEND,), 40),
    ((Op.TRUNCATE, Op.RENAME), 6),
)
"""Which calls count, and up to which one it may live."""
LIVES_S: Final = 0.6
"""How long a service lives at the most after it was ready."""
STARTS_S: Final = 1.0
PAUSE_S: Final = (0.3, 3.0)
RARELY: Final = 0.15


async def kill_service(book: Tortured) -> Moment:
    """At any time, also while it starts."""
    stage, rng = book.line.stage, book.rng
    if rng.random() < RARELY:
        stage.kill_service()
        await asyncio.sleep(rng.random() * STARTS_S)
    else:
        await stage.up.wait()
        await asyncio.sleep(rng.random() * LIVES_S)
    stage.kill_service()
    return book.moment()


async def kill_service_at_a_call(book: Tortured) -> Moment:
    """Before, in the middle of or after a write, a sync, a rename or a send, of any file."""
    stage, rng = book.line.stage, book.rng
    ops, calls = rng.choice(SHOTS)
    if rng.random() < RARELY:
        killed = stage.killed
        stage.kill_service()
        await stage.dead(killed)  # the next one is hit, while it starts
    else:
        await stage.up.wait()
    stage.shim.kill_at(rng.randint(1, calls), rng.choice(list(How)), *ops)
    book.events["died at a call"] += await stage.die_at_a_call(LIVES_S + STARTS_S)
    return book.moment()


async def kill_nats(book: Tortured) -> Moment:
    """The server dies and another one takes its place; the service lives."""
    await some_time(book)
    book.events["server deaths"] += 1
    book.line.stage.kill_nats()
    return book.moment()


async def kill_both(book: Tortured) -> Moment:
    """Both die in the same moment."""
    await some_time(book)
    book.events["server deaths"] += 1
    book.line.stage.kill_both()
    return book.moment()


async def some_time(book: Tortured) -> None:
    """Wait until the service runs, and then for any time."""
    await book.line.stage.up.wait()
    await asyncio.sleep(book.rng.random() * LIVES_S)


async def some_change(book: Tortured) -> None:
    """Wait until the service that runs has made a change."""
    async with asyncio.timeout(NEVER_S):
        await book.moment(changes=True).answered.wait()


async def pause_service(book: Tortured) -> Moment:
    """It stands for seconds; all who wait get their answer afterwards."""
    await some_time(book)
    await pause(book.line.stage.service.pid, book.rng.uniform(*PAUSE_S))
    return book.moment()


async def pause_nats(book: Tortured) -> Moment:
    """The server stands for seconds."""
    await some_time(book)
    await pause(book.line.stage.nats.process.pid, book.rng.uniform(*PAUSE_S))
    return book.moment()


async def move_clock(book: Tortured) -> Moment:
    """The clock of the wall steps by hours or days, forth and back."""
    await some_time(book)
    book.move(book.rng.choice(book.jumps))
    return book.moment()
