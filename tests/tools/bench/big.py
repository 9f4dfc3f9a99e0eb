"""The service on a long log of many users, beside one on an empty log."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.support.service import Service
from tests.tools.bench.biglog import REGULARS, copied, kept, users_of
from tests.tools.bench.figures import Figure, of_rounds
from tests.tools.bench.stage import OUT, Options, Stage, Watch, memory_mb, service_ready, staged
from tests.tools.bench.stage import echo_responder as echoing

ACTIVE = 1_000
MANY = 200_000
LIVE = 10_000
RESTORES = 500
START_GOAL_S = 1.0
RESTORE_GOAL_MS = 1.0
MEMORY_GOAL_MB = 150.0


def measure(options: Options, work: Path) -> list[Figure]:
    """Start, restore, few active users, many active users, memory: on one process."""
    log, made_s = kept(options.events)
    size = sum(file.stat().st_size for file in log.glob("*.db"))
    told = f"{options.events:,} events, {users_of(options.events):,} users"
    print(f"a log of {told}: {made_s:.0f} s to make (0: kept), {size / 1e9:.2f} GB", flush=True)
    copied(log, work / "big")
    with staged(work / "empty") as empty:
        service = Service(work / "big", command="up", env={"METERD_LIVE_USERS_MAX": f"{LIVE}"})
        start, watch = time.perf_counter(), Watch()
        service.launch()
        with service_ready(service), echoing(service.url) as echo_pid:
            started_s = time.perf_counter() - start - watch.ended()
            figures = _on(Stage(service, echo_pid), empty, options)
    facts = {
        "made_s": made_s,
        "log_bytes": size,
        "events": options.events,
        "live_users_max": LIVE,
        "log": str(log.relative_to(OUT)),
    }
    figures.insert(
        0,
        Figure(
            key="start",
            name="start until ready",
            measured=started_s,
            goal=START_GOAL_S,
            unit="s",
            at_most=True,
        ),
    )
    return [
        replace(
            figure, name=f"{figure.name}; {options.events:,} events", detail=figure.detail | facts
        )
        for figure in figures
    ]


def _on(big: Stage, empty: Stage, options: Options) -> list[Figure]:
    idle_mb = memory_mb(big.service.pid)
    figures = [_restore(big, options), _few(big, empty, options), _many(big, options)]
    detail = {"after_start_mb": idle_mb, "most_mb": memory_mb(big.service.pid, "VmHWM")}
    capped = Figure(
        key="memory_capped",
        name=f"memory, {LIVE:,} live of {users_of(options.events):,} users",
        measured=memory_mb(big.service.pid),
        goal=MEMORY_GOAL_MB,
        unit="MB",
        at_most=True,
        detail=detail,
    )
    return [*figures, capped]


def _restore(big: Stage, options: Options) -> Figure:
    """What a request takes longer if its user is not live: a snapshot and some events."""
    regulars = users_of(options.events) // REGULARS
    found = big.load(
        "visit", f"--users={regulars}", f"--each={min(RESTORES, regulars)}", "--initial=u"
    )
    return Figure(
        key="restore",
        name="restore of one user from snapshot and tail, p50",
        measured=found["cold"]["p50"] - found["live"]["p50"],
        goal=RESTORE_GOAL_MS,
        unit="ms",
        at_most=True,
        detail={"first_request_ms": found["cold"], "next_request_ms": found["live"]},
    )


def _few(big: Stage, empty: Stage, options: Options) -> Figure:
    """The same 1,000 users on both."""
    stride = users_of(options.events) // ACTIVE
    load = ("track", "--initial=u", f"--users={ACTIVE}", f"--stride={stride}")
    rates: dict[str, list[float]] = {"empty": [], "big": []}
    for number in range(options.few):
        for name, stage in (("empty", empty), ("big", big)):
            more = (f"--seed={number}", f"--seconds={options.seconds}", "--warm=1")
            rates[name].append(stage.load(*load, *more)["rate"])
        print(
            f"round {number + 1} {ACTIVE:,} active users: empty log"
            f" {rates['empty'][-1]:,.0f}/s, big log {rates['big'][-1]:,.0f}/s",
            flush=True,
        )
    ratios = [mine / other for mine, other in zip(rates["big"], rates["empty"], strict=True)]
    name = f"track, {ACTIVE:,} active users, / on an empty log"
    return of_rounds("big_few", name, ratios, 0.9, "x empty", detail={"rates": rates})


def _many(big: Stage, options: Options) -> Figure:
    """Users at random among so many that nearly all have to be restored first."""
    many = min(MANY, users_of(options.events))
    stride = users_of(options.events) // many
    load = ("spread", "--initial=u", f"--users={many}", f"--stride={stride}", "--warm=1")
    rates: dict[str, list[Any]] = {"echo": [], "spread": []}
    for number in range(options.few):
        more = (f"--seed={number}", f"--seconds={options.seconds}")
        rates["echo"].append(big.load("echo", *more)["rate"])
        rates["spread"].append(big.load(*load, *more)["rate"])
        print(f"round {number + 1} {many:,} active users: {rates['spread'][-1]:,.0f}/s", flush=True)
    ratios = [mine / echo for mine, echo in zip(rates["spread"], rates["echo"], strict=True)]
    name = f"track, {many:,} active users, {LIVE:,} of them live"
    detail = {"rates": rates, "rate": median(rates["spread"])}
    return of_rounds("big_many", name, ratios, 0.2, detail=detail)
