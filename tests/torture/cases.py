"""The faults by name: how often each strikes in a full run, and in how many rounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from errno import EIO, ENOSPC
from pathlib import Path
from typing import Any, Final

from tests.torture import damage, disks, everywhere, kills, loads, mixed, pages, power
from tests.torture.rounds import Fault, Result, run_round
from tests.torture.shim import Op

Round = Callable[[Path, int, int], Coroutine[Any, Any, Result]]
"""One round in a directory, of a seed, with so many strikes."""


@dataclass(frozen=True)
class Case:
    """One fault.

    Attributes:
        what: as the table has it.
        run: one round of it.
        times: how often it strikes in a full run.
        in_a_round: how often in each round, each with files of its own.
        scaled: whether ``--kills`` scales it.
    """

    what: str
    run: Round
    times: int
    in_a_round: int
    scaled: bool = False


def _struck(fault: Fault, **how: Any) -> Round:
    async def run(directory: Path, seed: int, times: int) -> Result:
        return await run_round(directory.name, fault, directory, seed, times=times, **how)

    return run


def _kill(what: str, fault: Fault, share: int, **how: Any) -> Case:
    return Case(what, _struck(fault, **how), share, 25, scaled=True)


def _fault(what: str, fault: Fault, times: int, in_a_round: int = 10) -> Case:
    return Case(what, _struck(fault), times, in_a_round)


KILLS: Final = 1_000
"""How many kills a full run has at the least."""
CASES: Final[dict[str, Case]] = {
    "kill-service": _kill("the service is killed at any time", kills.kill_service, 325),
    "kill-at-call": _kill(
        "the service is killed before, in or after a write, sync, rename or send",
        kills.kill_service_at_a_call,
        375,
    ),
    "kill-nats": _kill("the nats-server is killed", kills.kill_nats, 150, stream=True),
    "kill-both": _kill("service and nats-server are killed at once", kills.kill_both, 150),
    "load": Case(
        "the service is killed while it takes batches of 500, with lumps of the index on the way",
        loads.kill_under_load,
        60,
        15,
    ),
    "stop-service": _fault("the service stands for 0.3 to 3 s", kills.pause_service, 20),
    "stop-nats": _fault("the nats-server stands for 0.3 to 3 s", kills.pause_nats, 20),
    "clock": _fault("the clock steps by up to a month, forth and back", kills.move_clock, 60, 20),
    "power": Case(
        "the power goes: what is not synced is lost, all or any part",
        _struck(power.cutting(power.lose), power=True),
        100,
        20,
    ),
    "wal": _fault("the WAL is damaged or cut between two lives", damage.damage_wal, 60, 15),
    "page": Case("a page of the database is damaged or cut off", pages.damage_pages, 60, 30),
    "sweep": Case(
        "each sector, page and file of a small directory is damaged, a copy for each",
        everywhere.damage_everything,
        1,
        1,
    ),
    "disk-full": Case(
        f"a disk of {disks.DISK_MIB} MiB is full for 0.2 to 1.5 s",
        _struck(disks.fill_disk, disk=disks.small_disk),
        30,
        10,
    ),
    "writes-cut": _fault("any write is cut short, then ENOSPC", disks.cut_writes, 30),
    "write-eio": _fault(
        "EIO of a write or truncate, of any file", disks.failing(EIO, Op.WRITE, Op.TRUNCATE), 30
    ),
    "read-eio": _fault("EIO of a read, of any file", disks.failing(EIO, Op.READ), 30),
    "sync-eio": _fault("EIO of a sync, of any file", disks.failing(EIO, Op.SYNC), 30),
    "start-eio": _fault(
        "EIO of any call on any file while the service starts",
        disks.failing_start(EIO, *(op for op in Op if op is not Op.SEND)),
        40,
        20,
    ),
    "start-full": _fault(
        "ENOSPC while the service starts", disks.failing_start(ENOSPC, Op.WRITE, Op.OPEN), 20
    ),
    "read-only": _fault("the disk becomes read-only for 0.2 to 1.5 s", disks.read_only, 20),
    "mixed": _fault("any of these, one after the other", mixed.any_of_all, 60, 20),
    "slow-disk": _fault("each sync takes 0.05 to 2 s", disks.slow_disk, 12, 6),
}


def run_case(case: Case, name: str, work: Path, seed: int, times: int, say: Any) -> Result:
    """All rounds of a case; the first that fails ends it and leaves its files there."""
    whole = Result(name)
    number = 0
    while whole.times < times:
        directory = work / name
        strikes = min(case.in_a_round, times - whole.times)
        whole.add(asyncio.run(case.run(directory, seed + number, strikes)))
        number += 1
        say(whole)
    return whole
