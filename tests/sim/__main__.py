"""Many lives of the service in its simulated world, one after the other: `make simulate`.

One line for each life, then what they came to. Exit code 1: an invariant does not hold; the line
says which, and of which seed, and the seed does it again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable

from tests.sim.world.invariants import Violated
from tests.sim.world.lifetimes import CALLS, Life, simulate
from tests.support.meterd import compiled_here, form


def summary(lives: Iterable[Life]) -> str:
    """What the lives came to, and how much of it a minute of the CPU covers."""
    lives = list(lives)
    cpu = sum(life.cpu for life in lives) or 1e-9
    totals = {
        "hours": sum(life.seconds for life in lives) / 3_600,
        "requests": sum(life.requests for life in lives),
        "compared answers": sum(life.compared for life in lives),
        "places to crash": sum(life.steps for life in lives),
        "faults": sum(life.faults for life in lives),
        "lives": len(lives),
    }
    lines = [
        f"{name:<17}{total:>12,.0f}{total * 60 / cpu:>16,.0f}" for name, total in totals.items()
    ]
    events = sum((Counter(life.events) for life in lives), Counter[str]())
    what = ", ".join(f"{name} {count:,}" for name, count in sorted(events.items()))
    head = f"{'':<17}{'in all':>12}{'a minute of CPU':>16}"
    return "\n".join([head, *lines, f"{'CPU':<17}{cpu:>11,.0f}s", what])


def planted() -> int:
    """Say how soon each planted defect is found."""
    if compiled_here():
        print("compiled modules take no patches: run it on the sources")
        return 1
    from tests.sim.world.mutants import ALL, find  # it patches what it imports

    for plant in ALL:
        lives, seconds, why = find(plant)
        named = why[:100].replace("\n", " ")
        print(f"{plant.__name__:<34}{lives:>4} lives{seconds:>7.1f} s  {named}", flush=True)
    return 0


def main() -> int:
    """Run the lives that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--minutes", type=float, default=0, help="go on for so long instead")
    parser.add_argument("--calls", type=int, default=CALLS, help="of each client")
    parser.add_argument("--quiet", action="store_true", help="no line for each life")
    parser.add_argument("--planted", action="store_true", help="look for planted defects instead")
    args = parser.parse_args()
    if args.planted:
        return planted()
    print(form(), flush=True)
    lives: list[Life] = []
    wrong = 0
    until, seed = time.monotonic() + args.minutes * 60, args.first
    while time.monotonic() < until if args.minutes else seed < args.first + args.seeds:
        try:
            life = simulate(seed, calls=args.calls)
        except (Violated, AssertionError) as error:
            wrong += 1
            print(f"seed {seed}: {str(error) or type(error).__name__}", flush=True)
        else:
            lives.append(life)
            if not args.quiet:
                hours = life.seconds / 3_600
                print(f"seed {seed}: {life.trace}, {hours:.1f} h, {life.faults} faults", flush=True)
        seed += 1
    print(summary(lives))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
