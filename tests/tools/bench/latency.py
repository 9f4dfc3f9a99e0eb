"""How long one `track` takes: alone, and while the service is half busy."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.tools.bench.figures import Figure
from tests.tools.bench.stage import Options, Stage, staged
from tests.tools.bench.timing import percentiles

FSYNC_BYTES = 4096
FSYNCS = 200
P50_OVER_MS = 0.3
P99_OVER_MS = 2.0
HALF_P99_MS = 5.0
TOP_S = 2.0
BUSY = "the disk was busy"


def measure(options: Options, work: Path) -> list[Figure]:
    """One in flight beside the echo and fsync, then paced at half of the top rate."""
    with staged(work / "latency") as stage:
        rounds = [_round(stage, options, number, work) for number in range(options.few)]
        paced = [_half(stage, options, number) for number in range(options.few)]
    return [*_alone(rounds), *_busy(paced)]


def fsync_ms(directory: Path) -> dict[str, float]:
    """One fsync of 4 KiB within a file that has its size, as that of a reused WAL is.

    SQLite syncs the data only; to let a file grow takes longer, and far longer if others
    write to the same file system.
    """
    path = directory / "fsync"
    path.write_bytes(bytes(FSYNC_BYTES * FSYNCS))
    descriptor = os.open(path, os.O_WRONLY)
    spent = []
    try:
        os.fsync(descriptor)
        for number in range(FSYNCS):
            os.pwrite(descriptor, b"x" * FSYNC_BYTES, number * FSYNC_BYTES)
            start = time.perf_counter()
            os.fdatasync(descriptor)
            spent.append((time.perf_counter() - start) * 1e3)
    finally:
        os.close(descriptor)
        path.unlink()
    return percentiles(spent)


def _round(stage: Stage, options: Options, number: int, work: Path) -> dict[str, Any]:
    common = ("--single", f"--seconds={options.seconds}", f"--seed={number}")
    found = {
        "echo": stage.load("echo", *common),
        "fsync": fsync_ms(work),
        "track": stage.load("track", *common),
    }
    print(
        f"round {number + 1} one in flight, p50 and p99 in ms:"
        + "".join(f"  {name} {of['p50']:.2f} {of['p99']:.2f}" for name, of in found.items()),
        flush=True,
    )
    return found


def _alone(rounds: list[dict[str, Any]]) -> list[Figure]:
    p50 = [r["track"]["p50"] - r["echo"]["p50"] - r["fsync"]["p50"] for r in rounds]
    # A call that is durable takes longer than an fsync, or the disk was not the same for both.
    p50 = [over for over in p50 if over > 0]
    p99 = [r["track"]["p99"] - r["echo"]["p99"] for r in rounds]
    detail = {
        name: {share: median(r[name][share] for r in rounds) for share in ("p50", "p99")}
        for name in ("echo", "fsync", "track")
    }
    return [
        Figure(
            key="track_p50",
            name="track, one in flight, p50 over that of the echo and one fsync",
            measured=median(p50) if p50 else None,
            note="" if p50 else BUSY,
            goal=P50_OVER_MS,
            unit="ms",
            at_most=True,
            rounds=p50,
            detail=detail,
        ),
        Figure(
            key="track_p99",
            name="track, one in flight, p99 over that of the echo",
            measured=median(p99),
            goal=P99_OVER_MS,
            unit="ms",
            at_most=True,
            rounds=p99,
            detail=detail,
        ),
    ]


def _half(stage: Stage, options: Options, number: int) -> dict[str, Any]:
    """Find the top rate, then ask for half of it."""
    seed = f"--seed={number}"
    top = stage.load("track", f"--seconds={TOP_S}", seed)["rate"]
    paced = (f"--rate={top / 2}", f"--seconds={options.seconds}", seed)
    echo = stage.load("echo", *paced)
    found = stage.load("track", *paced)
    print(
        f"round {number + 1} paced {top / 2:,.0f}/s, p50 and p99 in ms:"
        f"  echo {echo['p50']:.2f} {echo['p99']:.2f}  track {found['p50']:.2f} {found['p99']:.2f}",
        flush=True,
    )
    return {"rate": top / 2, "echo": echo, "track": found}


def _busy(paced: list[dict[str, Any]]) -> list[Figure]:
    """What a call takes then, and what the machine and NATS alone take at the same pace."""
    shares = ("p50", "p90", "p99", "p99.9")
    names = {
        "echo": ("half_echo_p99", "bare echo at the same pace, p99", None),
        "track": ("half_p99", "track at half of its top rate, open loop, p99", HALF_P99_MS),
    }
    figures = []
    for kind, (key, name, goal) in names.items():
        p99 = [found[kind]["p99"] for found in paced]
        detail = {share: median(found[kind][share] for found in paced) for share in shares}
        detail["rate"] = median(found["rate"] for found in paced)
        figures.append(
            Figure(
                key=key,
                name=name,
                measured=median(p99),
                goal=goal,
                unit="ms",
                at_most=True,
                rounds=p99,
                detail=detail,
            )
        )
    return figures
