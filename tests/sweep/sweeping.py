"""The whole sweep: one directory, its truth, and processes that share the damages."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog.testing

from tests.support.service import ROOT
from tests.sweep import truth as truths
from tests.sweep.directory import TODAY, make
from tests.sweep.outcomes import Outcome
from tests.sweep.running import Stage

IN_MEMORY: Final = Path("/dev/shm")
TRUTH: Final = "truth.json"
EVERY: Final = 0
"""In place of how many of each page: all."""
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


def prepared(work: Path) -> Stage:
    """What `prepare` made, in another process."""
    return Stage(work, truths.load(work / TRUTH))


def sweep(each: int, jobs: int, *, quick: bool) -> list[Outcome]:
    """Have damages met by so many processes.

    Args:
        each: how many of each kind in each page of a file, `EVERY` for all.
        jobs: how many processes.
        quick: whether what carries nothing is only verified.
    """
    with workplace() as work, ExitStack() as running:
        prepare(work)
        processes = []
        for job in range(jobs):
            args = [str(work), str(job), str(jobs), str(each), str(int(quick))]
            target = running.enter_context((work / f"{job}.jsonl").open("wb"))
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.sweep", *args], cwd=ROOT, stdout=target
            )
            running.callback(process.wait)
            running.callback(process.kill)
            processes.append(process)
        codes = [process.wait() for process in processes]
        assert codes == [0] * jobs, f"a process of the sweep ended with {codes}"
        found = [line for job in range(jobs) for line in _lines(work / f"{job}.jsonl")]
    return sorted(map(_outcome, found), key=lambda one: one.damage)


def share(work: Path, job: int, jobs: int, each: int, *, quick: bool) -> Iterator[Outcome]:
    """The part of one process: every ``jobs``-th damage."""
    stage = prepared(work)
    damages = stage.damages(each or None)[job::jobs]
    yield from stage.run(damages, work / f"copies.{job}", quick=quick)


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()
