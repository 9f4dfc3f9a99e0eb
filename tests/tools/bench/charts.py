"""Draw the charts of docs/performance.md from the record of a run.

python -m tests.tools.bench.charts            # of the newest run
python -m tests.tools.bench.charts FILE
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.service import ROOT
from tests.tools.bench.stage import OUT
from tests.tools.bench.svg import BAD, GOOD, PLAIN, Bar, bars

DOCS = ROOT / "docs"
Found = dict[str, dict[str, Any]]
"""Figures by key."""

HOT = {
    "enforce": "enforce",
    "track": "durable track",
    "pairs_one": "hold + settle, one user",
    "pairs": "hold + settle, 1,000 users",
    "batch": "batch of 100, events",
    "big_many": "track, most users not live",
}
RIVALS = {"replaced": "replaced design", "postgres": "PostgreSQL 15", "redis_meter": "Redis 7"}
SIZES = {
    "memory": ("100,000 live users", "MB"),
    "memory_capped": ("10,000 live of a long log", "MB"),
    "disk": ("one event on disk", "bytes"),
}


def speed(found: Found) -> str:
    """The hot path as ratios to the echo."""
    rows = []
    for key, label in HOT.items():
        if key in found:
            figure = found[key]
            rate = figure["detail"].get("rate")
            behind = f"{figure['measured']:.2f}" + (f"  ({rate:,.0f}/s)" if rate else "")
            rows.append(Bar(label, figure["measured"], behind, figure["goal"], _colour(figure)))
    echo = found["echo"]["measured"]
    told = f"1.0 is a bare nats-py echo of the same round ({echo:,.0f}/s); the line is the goal"
    return bars("Requests a second, as a share of a bare echo", told, rows)


def latency(found: Found) -> str:
    """One request in flight, and half of the top rate."""
    alone, half = found["track_p50"]["detail"], found["half_p99"]["detail"]
    rows = [
        Bar(f"{label}, {share}", value, f"{value:.2f} ms", None, colour)
        for label, of, colour in (
            ("echo, one in flight", alone["echo"], PLAIN),
            ("one fsync of 4 KiB", alone["fsync"], PLAIN),
            ("track, one in flight", alone["track"], GOOD),
            (f"track at {half['rate']:,.0f}/s", half, GOOD),
        )
        for share, value in ((share, of[share]) for share in ("p50", "p99"))
    ]
    return bars("Time of a request", "milliseconds, logarithmic", rows, logarithmic=True)


def beside(found: Found) -> str:
    """Durable calls a second of all that were measured in the same rounds."""
    present = {key: label for key, label in RIVALS.items() if found[key]["measured"] is not None}
    rates = {label: found[key]["detail"]["rate"] for key, label in present.items()}
    meterd = max((found[key]["detail"]["track_rate"] for key in present), default=None)
    rows = [] if meterd is None else [Bar("meterd", meterd, f"{meterd:,.0f}/s", None, GOOD)]
    rows += [Bar(label, rate, f"{rate:,.0f}/s") for label, rate in rates.items()]
    told = "1,000 users, random keys, every call on disk before its answer; logarithmic"
    return bars("Durable calls a second", told, rows, logarithmic=True)


def sizes(found: Found) -> str:
    """Memory and disk, each as a share of its goal."""
    rows = []
    for key, (label, unit) in SIZES.items():
        figure = found[key]
        share = figure["measured"] / figure["goal"]
        behind = f"{figure['measured']:,.0f} {unit} of {figure['goal']:,.0f}"
        rows.append(Bar(label, share, behind, 1.0, _colour(figure)))
    return bars("Memory and disk", "as a share of the most it may be, which is the line", rows)


CHARTS: dict[str, tuple[Callable[[Found], str], tuple[str, ...]]] = {
    "performance-speed.svg": (speed, ("echo", "track")),
    "performance-latency.svg": (latency, ("track_p50", "half_p99")),
    "performance-beside.svg": (beside, tuple(RIVALS)),
    "performance-sizes.svg": (sizes, tuple(SIZES)),
}
"""Each chart with the figures that it cannot be drawn without."""


def _colour(figure: dict[str, Any]) -> str:
    return BAD if figure["verdict"] == "MISSED" else GOOD


def main() -> None:
    """Draw every chart whose figures are in the record."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.bench.charts", description=__doc__)
    parser.add_argument("record", type=Path, nargs="?")
    path = parser.parse_args().record or max(OUT.glob("bench-*.json"), default=None)
    if path is None:
        raise SystemExit("there is no record in .bench: run make bench first")
    found = {figure["key"]: figure for figure in json.loads(path.read_text())["figures"]}
    for name, (draw, needs) in CHARTS.items():
        if all(key in found for key in needs):
            (DOCS / name).write_text(draw(found))
            print(f"docs/{name}")


if __name__ == "__main__":
    main()
