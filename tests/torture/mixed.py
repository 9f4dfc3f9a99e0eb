"""Several faults in one life of the service."""

from __future__ import annotations

from errno import EIO
from typing import Final

from tests.torture import disks, kills
from tests.torture.book import Moment, Tortured
from tests.torture.rounds import Fault
from tests.torture.shim import Op

DISK_FAULTS: Final[tuple[Fault, ...]] = (
    disks.failing(EIO, Op.WRITE, Op.TRUNCATE),
    disks.failing(EIO, Op.SYNC),
    disks.failing(EIO, Op.READ),
)
ALL: Final[tuple[Fault, ...]] = (
    *(kills.kill_service, kills.kill_service_at_a_call, kills.kill_nats, kills.kill_both),
    *(kills.pause_service, kills.pause_nats, kills.move_clock),
    *(disks.cut_writes, disks.read_only, disks.slow_disk, *DISK_FAULTS),
)


def in_turn(*faults: Fault) -> Fault:
    """Each of these once, one after the other."""
    rest = iter(faults)

    async def strike(book: Tortured) -> Moment:
        return await next(rest)(book)

    return strike


async def any_of_all(book: Tortured) -> Moment:
    """One of all faults."""
    return await book.rng.choice(ALL)(book)
