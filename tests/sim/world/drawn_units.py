"""Units as clients draw them."""

from __future__ import annotations

from random import Random
from typing import Any, Final

UNITS: Final = {"seconds": 6, "characters": 9, "gpu": 8, "runs": 9}
"""Units, and of how many nano-units what is sent is a multiple, as a power of ten."""


def of_a_call(rng: Random, *, least: int = 0) -> dict[str, int]:
    """Amounts in nano-units; ``least`` is the least number of units, and of each."""
    names = rng.sample(sorted(UNITS), rng.randint(least, 2))
    return {name: rng.randint(least, 50) * 10 ** UNITS[name] for name in names}


def to_put(rng: Random) -> dict[str, Any]:
    """A put of a unit, which some are refused: a scale never changes."""
    unit = rng.choice(["gpu", "gpu", "runs", "seconds"])
    body: dict[str, Any] = {"id": unit}
    if unit == "gpu":
        body["scale"] = rng.choice([1, 1, 1, 2])
    if rng.random() < 0.4:
        body["name"] = rng.choice(["A unit", "Another"])
    if rng.random() < 0.4:
        body["max_per_call"] = rng.choice([10**6, 10**15])
    return body


def to_archive(rng: Random) -> dict[str, Any]:
    """An end of a unit that there may be."""
    return {"id": rng.choice(["gpu", "runs"])}
