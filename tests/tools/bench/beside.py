"""Durable calls a second beside what else could meter them, in the same rounds."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from tests.tools.bench import postgres, redis_meter
from tests.tools.bench.figures import ABSENT, Figure, of_rounds
from tests.tools.bench.stage import Options, run_module, staged

RIVALS = {
    "replaced": ("the replaced design (SQLAlchemy, one commit per call)", 250.0),
    "postgres": ("PostgreSQL 15 (asyncpg, 64 connections)", 1.0),
    "redis_meter": ("Redis 7 (Lua, appendfsync always)", 1.0),
}


def measure(options: Options, work: Path) -> list[Figure]:
    """`track` for 1,000 users and each rival that is installed, one after the other."""
    work = work / "beside"
    rates: dict[str, list[float]] = {name: [] for name in ("track", *RIVALS)}
    with ExitStack() as running:
        stage = running.enter_context(staged(work / "meterd"))
        places = {}
        if find_spec("sqlalchemy"):
            places["replaced"] = str(work / "replaced.db")
        if postgres.installed():
            places["postgres"] = running.enter_context(postgres.cluster(work / "pg"))
        if redis_meter.installed():
            places["redis_meter"] = running.enter_context(redis_meter.server(work / "redis"))
        seconds = f"--seconds={options.seconds}"
        for number in range(options.few):
            rates["track"].append(stage.load("track", seconds, f"--seed={number}")["rate"])
            for name, place in places.items():
                rates[name].append(run_module(f"tests.tools.bench.{name}", place, seconds)["rate"])
            told = [f"{name} {found[-1]:,.0f}/s" for name, found in rates.items() if found]
            print(f"round {number + 1} {', '.join(told)}", flush=True)
    return [_figure(name, rates) for name in RIVALS]


def _figure(name: str, rates: dict[str, list[float]]) -> Figure:
    told, goal = RIVALS[name]
    if not rates[name]:
        return Figure(
            key=name, name=f"track / {told}", measured=None, goal=goal, unit="x", note=ABSENT
        )
    ratios = [mine / other for mine, other in zip(rates["track"], rates[name], strict=True)]
    detail = {"track_rate": median(rates["track"]), "rate": median(rates[name])}
    return of_rounds(name, f"track / {told}", ratios, goal, "x", detail=detail)
