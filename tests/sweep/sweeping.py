"""The whole sweep: one directory, its truth, and processes that share the damages."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog.testing

from tests.support.service import ROOT
from tests.sweep import truth as truths
from tests.sweep.directory import TODAY, make
from tests.sweep.outcomes import DOUBLED, WRONG, Outcome
from tests.sweep.planted import PLANTS, fitting, plant
from tests.sweep.running import Stage

IN_MEMORY: Final = Path("/dev/shm")
TRUTH: Final = "truth.json"
EVERY: Final = 0
"""In place of how many of each page: all."""


class Share(msgspec.Struct, frozen=True):
    """What one process does.

    Attributes:
        work: where the directories are.
        job: which of the processes it is, of how many.
        each: as `sweep` takes it; quick: too.
        planted: the name of a defect, or none.
    """

    work: str
    job: int
    jobs: int
    each: int
    quick: bool
    planted: str = ""


_outcome: Final = msgspec.json.Decoder(Outcome).decode


@contextmanager
def workplace() -> Iterator[Path]:
    """An empty directory, in memory if there is such a file system."""
    where = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="meterd-sweep-", dir=where) as directory:
        yield Path(directory)


def prepare(work: Path) -> Stage:
    """Make the directory and its truth in an empty one."""
    with structlog.testing.capture_logs():
        made = asyncio.run(make(work))
        shutil.copytree(work / TODAY, work / "asked")
        truth = asyncio.run(truths.tell(work / "asked", made))
    shutil.rmtree(work / "asked")
    truths.save(truth, work / TRUTH)
    return Stage(work, truth)


def sweep(each: int, jobs: int, *, quick: bool) -> list[Outcome]:
    """Have damages met by so many processes.

    Args:
        each: how many of each kind in each page of a file, `EVERY` for all.
        jobs: how many processes.
        quick: whether what carries nothing is only verified.
    """
    with workplace() as work:
        prepare(work)
        return run([Share(str(work), job, jobs, each, quick) for job in range(jobs)])


def run(shares: Sequence[Share]) -> list[Outcome]:
    """Have each share done by a process of its own, all at once."""
    with ExitStack() as running:
        started = []
        for number, share in enumerate(shares):
            path = Path(share.work, f"{number}.jsonl")
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.sweep", msgspec.json.encode(share).decode()],
                cwd=ROOT,
                stdout=running.enter_context(path.open("wb")),
            )
            running.callback(process.wait)
            running.callback(process.kill)
            started.append((process, path))
        codes = [process.wait() for process, _ in started]
        assert not any(codes), f"the processes of the sweep ended with {codes}"
        found = [line for _, path in started for line in path.read_bytes().splitlines()]
    return sorted(map(_outcome, found), key=lambda one: one.damage)


def outcomes_of(share: Share) -> Iterator[Outcome]:
    """What a process does: its part of the damages, or those that show a planted defect."""
    work = Path(share.work)
    stage = Stage(work, truths.load(work / TRUTH))
    copies = work / f"copies.{share.job}"
    if not share.planted:
        damages = stage.damages(share.each or None)[share.job :: share.jobs]
        yield from stage.run(damages, copies, quick=share.quick)
        return
    (defect,) = (each for each in PLANTS if each.name == share.planted)
    plant(defect)
    for damage in fitting(defect, stage):
        if not defect.columns or stage.changes(damage, defect.columns, copies):
            (outcome,) = stage.run([damage], copies, quick=share.quick, mends=False)
            yield outcome
            if {WRONG, DOUBLED} & {*outcome.all}:
                return
