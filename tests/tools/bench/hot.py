"""The hot path beside a bare echo, in interleaved rounds.

A figure by itself says more of the machine than of the service, so each is given as its ratio
to the echo of the same round.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.tools.bench.calls import BATCH
from tests.tools.bench.figures import Figure, of_rounds
from tests.tools.bench.stage import Options, Stage, cpu_seconds, staged


@dataclass(frozen=True)
class Kind:
    """One figure of the hot path: the load, and what it counts by reply."""

    key: str
    name: str
    goal: float | None
    load: tuple[str, ...]
    each: int = 1


KINDS = (
    Kind("echo", "bare nats-py echo, requests/s", None, ("echo",)),
    Kind("enforce", "enforce, 1,000 users", 1.0, ("enforce",)),
    Kind("track", "durable track, 1,000 users, random keys", 0.55, ("track",)),
    Kind("pairs_one", "hold + settling track, pairs, one user", 0.2, ("pairs", "--users=1")),
    Kind("pairs", "hold + settling track, pairs, 1,000 users", 0.2, ("pairs",)),
    Kind("batch", "batch of 100, durable events", 1.2, ("batch",), BATCH),
)


def measure(options: Options, work: Path) -> list[Figure]:
    """All kinds, one after the other in each round."""
    rates: dict[str, list[float]] = {kind.key: [] for kind in KINDS}
    cpus: dict[str, list[float]] = {kind.key: [] for kind in KINDS}
    with staged(work / "hot") as stage:
        stage.load("seed")
        stage.load("subscribe")
        for number in range(options.rounds):
            for kind in KINDS:
                rate, cpu = one(stage, kind, options.seconds, number)
                rates[kind.key].append(rate)
                cpus[kind.key].append(cpu)
                print(f"round {number + 1} {kind.key:10}{rate:>9,.0f}/s", flush=True)
    return [_figure(kind, rates, cpus[kind.key]) for kind in KINDS]


def one(stage: Stage, kind: Kind, seconds: float, seed: int) -> tuple[float, float]:
    """How many a second, and the microseconds of CPU of each in the process that answers."""
    pid = stage.echo_pid if kind.key == "echo" else stage.service.pid
    before = cpu_seconds(pid)
    result = stage.load(*kind.load, f"--seconds={seconds}", f"--seed={seed}")
    count = result.get("done", result["replies"]) * kind.each
    return result["rate"] * kind.each, (cpu_seconds(pid) - before) * 1e6 / count


def _figure(kind: Kind, rates: dict[str, list[float]], cpus: list[float]) -> Figure:
    mine = rates[kind.key]
    detail = {"rates": mine, "cpu_us": cpus, "rate": median(mine), "cpu_us_each": median(cpus)}
    if kind.goal is None:
        return of_rounds(kind.key, kind.name, mine, None, "/s", detail=detail)
    ratios = [rate / echo for rate, echo in zip(mine, rates["echo"], strict=True)]
    return of_rounds(kind.key, kind.name, ratios, kind.goal, detail=detail)
